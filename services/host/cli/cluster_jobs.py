"""One-off jobs of a cluster: databases migrated, topics made, the first operator let in."""

from services.governance.bootstrap import bootstrap as bootstrap_governance
from services.governance.settings import GovernanceSettings
from services.host.bootstrap_cluster import CLUSTER_SERVICES, SERVICE_SETTINGS
from services.host.first_operator import issue_admin_token
from shared.clock import SystemClock
from shared.events.topics import CLUSTER_TOPICS, TOPICS
from shared.process.context import cluster_context, cluster_log

__all__ = ["create_topics", "issue_operator_token", "migrate", "topic_drift"]


async def migrate(service: str | None = None) -> list[str]:
    """Bring one service's database up to date, or all; return whose.

    Raises ``NutmegError`` where all are meant, but the settings name one database.
    """
    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    names = [service] if service else list(CLUSTER_SERVICES)
    ground.settings.check_databases_of(names)
    for name in names:
        store = CLUSTER_SERVICES[name](ground).service.store
        await store.open()
        await store.close()
    return names


async def create_topics() -> int:
    """Create the topics that are missing, dead letters included; return how many the registry has."""
    log = cluster_log(SystemClock())
    try:
        await log.ensure_topics(CLUSTER_TOPICS)
    finally:
        await log.close()
    return len(TOPICS)


async def topic_drift() -> list[str]:
    """Return, in words, where topics of the cluster differ from the registry."""
    log = cluster_log(SystemClock())
    try:
        return await log.drift(CLUSTER_TOPICS)
    finally:
        await log.close()


async def issue_operator_token(email: str) -> str:
    """Make the first operator, unless there already, and return a new token of theirs.

    The other services know the token once governance's worker has told them.
    """
    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    built = bootstrap_governance(
        GovernanceSettings(),
        database_url=ground.settings.database_url_of("governance"),
        clock=ground.clock,
        signing_key=ground.signing_key,
    )
    await built.service.store.open()
    try:
        return await issue_admin_token(built, email)
    finally:
        await built.service.store.close()
