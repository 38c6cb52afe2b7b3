"""
Ways to a workspace besides commands and files: from an event loop, by a port, and by waiting.
"""
