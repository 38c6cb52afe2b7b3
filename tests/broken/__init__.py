"""Small repositories with one fault each, and the findings that they get."""
