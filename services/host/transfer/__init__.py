"""Carries an installation from one process to a cluster: exported to a folder, imported from it."""
