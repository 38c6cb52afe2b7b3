"""Small repositories with one fault each, as tables of files, and what has to be found in them."""
