"""This machine: folders, locks, certificates, addresses."""
