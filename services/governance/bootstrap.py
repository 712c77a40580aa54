"""Governance, built: the only place that makes its real objects."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.governance.adapters.sql_audit import SqlAudit
from services.governance.adapters.sql_directory import SqlDirectory
from services.governance.adapters.sql_requests import SqlRequestBook
from services.governance.adapters.sql_sign_in import SqlSignIn
from services.governance.entrypoints.api_access import AccessDesk, build_access_api
from services.governance.entrypoints.api_audit import build_audit_api
from services.governance.entrypoints.api_directory import build_directory_api
from services.governance.entrypoints.api_personal_data import build_personal_data
from services.governance.entrypoints.api_sharing import build_sharing_api
from services.governance.entrypoints.directory_pages import build_directory_pages
from services.governance.entrypoints.pages import build_pages
from services.governance.entrypoints.sign_in_pages import build_sign_in_pages
from services.governance.handlers import EVENT_HANDLERS
from services.governance.migrations.tables import (
    DELIVERY,
    IDEMPOTENCY,
    KNOWN_DATASETS,
    METADATA,
    PRINCIPALS,
)
from services.governance.ports import GovernancePorts
from services.governance.settings import GovernanceSettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.datasets.read_model import KnownDatasets
from shared.events.topics import GROUPS
from shared.http.idempotency import prune_idempotency_keys
from shared.identity.principals import Authenticator, Principals, TokenAuthenticator
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.process.context import ProcessContext, ServedService
from shared.process.service import Service
from shared.store.engine import Store

__all__ = ["Governance", "bootstrap", "bootstrap_cluster"]

MIGRATIONS = Path(__file__).parent / "migrations"
HOUR_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Governance:
    """The service, and what its runner needs beside it: ports for first-start commands, who signs in."""

    service: Service
    ports: GovernancePorts
    sign_in: SqlSignIn
    authenticator: Authenticator


def bootstrap(
    settings: GovernanceSettings,
    *,
    database_url: str,
    clock: Clock,
    signing_key: SigningKey,
    jurisdiction_words: Collection[str] | None = None,
) -> Governance:
    """Build governance. Nothing is opened yet; see :class:`shared.process.service.Service`."""
    store = Store(
        database_url,
        service="governance",
        metadata=METADATA,
        tables=DELIVERY,
        migrations=MIGRATIONS,
        clock=clock,
    )
    words = frozenset(settings.jurisdiction_words if jurisdiction_words is None else jurisdiction_words)
    ports = GovernancePorts(
        clock=clock,
        datasets=KnownDatasets(KNOWN_DATASETS),
        directory=SqlDirectory(words),
        audit=SqlAudit(),
        requests=SqlRequestBook(),
        principals=Principals(PRINCIPALS, is_cached=database_url.startswith("sqlite")),
        jurisdiction_words=words,
    )
    tokens = Tokens(signing_key, clock)
    sign_in = SqlSignIn(tokens)
    authenticator = TokenAuthenticator(tokens, store, ports.principals)
    desk = AccessDesk(store, ports, sign_in, settings)
    routers = (
        build_directory_api(store, ports),
        build_access_api(desk),
        build_audit_api(store),
        build_sharing_api(store, ports),
        build_sign_in_pages(store, ports, sign_in, authenticator, settings),
        build_personal_data(store, ports),
        build_directory_pages(desk),
        build_pages(store, ports),
    )
    service = Service(
        name="governance",
        store=store,
        subscriptions=[Subscription(GROUPS["governance.directory"], bind(EVENT_HANDLERS, ports))],
        routers=routers,
        works=[
            RecurringWork(
                name="governance.prune",
                interval_seconds=HOUR_SECONDS,
                run_once=partial(_prune, store, ports),
                pending=_nothing_pending,
            )
        ],
    )
    return Governance(service, ports, sign_in, authenticator)


def bootstrap_cluster(ground: ProcessContext) -> ServedService:
    """Build governance for a process of its own, by the settings of its environment."""
    built = bootstrap(
        GovernanceSettings(),
        database_url=ground.settings.database_url_of("governance"),
        clock=ground.clock,
        signing_key=ground.signing_key,
    )
    return ServedService(built.service, built.authenticator)


async def _prune(store: Store, ports: GovernancePorts) -> int:
    async with store.unit_of_work() as work:
        await prune_idempotency_keys(work, IDEMPOTENCY)
        await ports.directory.forget_tokens(work)
    return 0


async def _nothing_pending() -> int:
    return 0
