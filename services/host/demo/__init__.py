"""The demo: the project's own sample, served, used, broken and repaired on a clock that can be moved."""
