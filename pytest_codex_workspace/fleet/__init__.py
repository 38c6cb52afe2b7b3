"""Many repositories, spread over processes and engines."""
