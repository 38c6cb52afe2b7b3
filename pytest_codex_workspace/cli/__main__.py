"""`python -m pytest_codex_workspace.cli`."""

from .entry import main

main()
