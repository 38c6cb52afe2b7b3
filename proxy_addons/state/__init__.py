"""
State that the addons share. Imports no other folder.
"""
