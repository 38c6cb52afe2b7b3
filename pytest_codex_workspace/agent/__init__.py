"""Programs that run inside our containers. The images get these files as they are."""
