"""Governance: who owns data, who answers for it, and who may have it.

Consumes: ``catalog.datasets`` (publishers to reconcile, datasets to ask for).
Emits: ``directory.agencies``, ``directory.people``, ``directory.stewardships``, ``sharing.requests``.
Stores: agencies and their spellings, people, grants, tokens, stewardships, sharing requests and their steps.
Promise: nobody decides on a request of their own; every step is told; an erased person is gone everywhere.
"""
