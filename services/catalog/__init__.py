"""Catalog: every agency's datasets in one place, found by everyone who may find them.

Consumes: ``directory.agencies``, ``directory.stewardships``, ``directory.people``, ``quality.measurements``,
``quality.alerts``, ``usage.rollups``, ``usage.alerts``, ``sharing.requests``, ``notify.deliveries``, and for
the changes feed also its own ``catalog.datasets``.
Emits: ``catalog.datasets`` (full state of each change), ``catalog.public``, ``catalog.notices``.
Stores: datasets with all their parts, harvests with their rejections, the changes feed; the search index
follows from these rows and can always be built anew.
Promise: a dataset and its event are one transaction; an unchanged dataset emits nothing; a harvest that is
cut off goes on where it was, loses nothing and does nothing twice; nobody finds a record that they may not
see, in no list, count or feed.
"""
