"""Variables that only setup scripts get, and removing their values from what is kept."""
