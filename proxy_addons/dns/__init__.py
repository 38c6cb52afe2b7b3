"""
The resolver of the workspaces.
"""
