"""The rules of the network. They run on the host and in the proxy: standard library only."""
