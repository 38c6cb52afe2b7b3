"""The debug log of a run, and the report of a bug that is made of it."""
