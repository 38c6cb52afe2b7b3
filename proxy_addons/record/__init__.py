"""
Write the log of requests, and record cassettes.
"""
