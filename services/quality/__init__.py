"""Quality: how good and how fresh datasets are, and an alert when one falls from its baseline.

Consumes: ``catalog.datasets`` and ``catalog.notices`` (what to measure, when a first harvest is over),
``directory.people`` (viewers), ``notify.acknowledgements`` (who took charge of an alert).
Emits: ``quality.measurements``, ``quality.alerts``, ``quality.notices``.
Stores: the quality of each dataset, its latest measurements with their history, profiles, jobs and alerts.
Promise: a first look is a baseline and never an alert; each degradation is told once, each recovery too.
"""
