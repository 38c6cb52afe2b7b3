"""The report of a run: what each workspace did, as a page, an HTTP archive, and data."""
