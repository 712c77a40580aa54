"""Notify: the right person is told, once, and the state follows the real result.

Consumes: ``catalog.datasets``, ``directory.people``, ``directory.agencies`` (whom to tell, and where);
``quality.measurements`` (what is out of date, for the counts of whoever answers for it);
``quality.alerts``, ``usage.alerts``, ``quality.notices``, ``catalog.notices``, ``sharing.requests`` (what).
Emits: ``notify.deliveries``, ``notify.acknowledgements``.
Stores: people with their addresses, inbox items and entries, notifications, messages and results.
Promise: one entry per item and person, one message per change; a refused message is never called sent.
"""
