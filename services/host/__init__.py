"""Host: every service in one process and on one port, and the command line.

Consumes and emits nothing of its own: it runs what the services' bootstraps return.
Stores: a lock, the signing key, the first operator's token, and where a running server answers.
Promise: one command starts everything, one signal ends it in good order, and nothing is lost by ``kill -9``.

It alone imports services. ``bootstrap`` builds them over one data directory, ``bootstrap_cluster`` for the
operators of a cluster. Its features: ``operations`` (what operators see and do), ``cli`` (``nutmeg``),
``backup``, ``transfer`` (from one process to a cluster), ``sample``, ``demo`` and ``api_docs``.
"""
