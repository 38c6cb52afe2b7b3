"""The Docker implementation of the engine protocol. No other folder imports docker."""
