"""Host: every service in one process and on one port, and the command line.

Consumes and emits nothing of its own: it runs what the services' bootstraps return.
Stores: a lock, the signing key, the first operator's token, and where a running server answers.
Promise: one command starts everything, one signal ends it in good order, and nothing is lost by ``kill -9``.
"""
