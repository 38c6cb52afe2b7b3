"""The Docker implementation of the engine protocol, which nothing else imports docker for."""
