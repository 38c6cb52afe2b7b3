"""The images that workspaces and the proxy start from."""
