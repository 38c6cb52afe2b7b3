"""
Respond to requests in place of a server.
"""
