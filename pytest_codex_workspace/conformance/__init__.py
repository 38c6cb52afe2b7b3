"""What running a repository in workspaces shows: findings that no reading of its files can have.

`pytest --pyargs pytest_codex_workspace.conformance --codex-repo=.` runs it as tests.
"""
