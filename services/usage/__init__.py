"""Usage: how each dataset is used, counted once and by published rules.

Consumes: ``catalog.datasets``, ``directory.people``, ``notify.acknowledgements``, and its own ``usage.hits``;
its stream processor, in a cluster, its own ``usage.rollups``.
Emits: ``usage.hits``, ``usage.rollups``, ``usage.alerts``.
Stores: counts per dataset, hour and day; for two days what double clicks and sessions need; salts for one
day; alerts.
Promise: every hit is counted exactly once, whatever is sent, delivered or killed twice; no address and no
agent text is kept; what was not counted is unknown, never zero.
"""
