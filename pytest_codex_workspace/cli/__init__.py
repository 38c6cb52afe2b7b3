"""The command `codex-workspace`, with a module for each of its commands."""
