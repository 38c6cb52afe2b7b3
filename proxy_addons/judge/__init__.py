"""
Decide whether a tunnel, a request or a connection is allowed.
"""
