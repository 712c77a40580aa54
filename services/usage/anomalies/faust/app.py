"""A Faust app on our Kafka settings, built by a factory.

Faust looks at its machine when one of its names is first used, so types are named in quotes here and beside.
"""

from pathlib import Path

import faust

from shared.log.kafka.client import client_options
from shared.log.kafka.settings import KafkaSettings

__all__ = ["build_faust_app"]

COMMIT_SECONDS = 1.0
HEARTBEATS_PER_SESSION = 3
ACKNOWLEDGED_BY_ALL = -1


def build_faust_app(kafka: KafkaSettings, *, group: str, folder: Path) -> "faust.App":
    """Return an app that is one member of ``group``. Raises ``OSError`` for a certificate it cannot read.

    Membership is static, as in :mod:`shared.log.kafka.membership`. Topics are the registry's alone, and the
    app serves no pages. Rebalances do not wait for the batch at hand: it notices that it was overtaken.
    """
    return faust.App(
        id=kafka.prefixed(group),
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_client_id=f"nutmeg-{kafka.replica_name}",
        broker_credentials=_credentials(kafka),
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / HEARTBEATS_PER_SESSION,
        broker_rebalance_timeout=kafka.rebalance_timeout_seconds,
        broker_max_poll_interval=kafka.poll_interval_seconds_max,
        broker_commit_interval=COMMIT_SECONDS,
        consumer_group_instance_id=f"{kafka.prefixed(group)}-{kafka.replica_name}",
        consumer_auto_offset_reset="earliest",
        producer_acks=ACKNOWLEDGED_BY_ALL,
        producer_request_timeout=kafka.request_timeout_seconds,
        stream_wait_empty=False,
        store="memory://",
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_replication_factor=kafka.replication_factor,
        web_enabled=False,
        autodiscover=False,
        datadir=folder,
    )


def _credentials(kafka: KafkaSettings) -> "faust.SASLCredentials | faust.SSLCredentials | None":
    context = client_options(kafka).get("ssl_context")
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.username,
            password=kafka.password.get_secret_value(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None
