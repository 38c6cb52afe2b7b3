"""
The network policy, the log of requests, and the proxy that enforces both.
"""
