"""What an engine tells while it builds, pulls or pushes."""
