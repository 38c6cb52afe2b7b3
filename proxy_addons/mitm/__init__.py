"""
Changes to mitmproxy: bounded parsers, back-pressure, and nothing unrecognised inside a tunnel.
"""
