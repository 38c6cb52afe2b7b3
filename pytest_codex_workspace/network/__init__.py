"""
The network policy, the request log, and the proxy that enforces both.
"""
