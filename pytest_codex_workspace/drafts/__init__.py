"""Drafts of setup scripts and of `.codex-workspace.yaml`, from lock files and tool files."""
