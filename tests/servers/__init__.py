"""Real Kafka, Elasticsearch and PostgreSQL on loopback, without containers, for tests and development.

``make servers`` starts the three; tests ask for the fixtures of :mod:`tests.servers.fixtures`. The jars are
fetched by Maven once, into ``NUTMEG_SERVERS_CACHE`` (default ``~/.cache/nutmeg-servers``). Nothing here is
part of the product.
"""
