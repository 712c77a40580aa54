"""Backups of a data directory, taken while a server works on it."""
