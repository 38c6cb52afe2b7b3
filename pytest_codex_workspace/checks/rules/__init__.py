"""The rules: each module has those about one thing.

A rule is a function that takes the repository and yields its findings. It reads the commit only,
runs nothing of it, and is listed in `read.py`.
"""
