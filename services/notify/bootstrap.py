"""Notify, built: the only place that makes its real objects."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from services.notify.adapters.maildir import MaildirMailTransport
from services.notify.adapters.smtp import TIMEOUTS_PER_TRY, SMTPMailTransport
from services.notify.adapters.sql_kept_mail import SQLKeptMail
from services.notify.adapters.sql_matters import SqlMatterBook
from services.notify.adapters.sql_parked import SQLParkedDeliveries, delivery_queue
from services.notify.adapters.sql_people import SqlPeopleBook
from services.notify.adapters.sql_workload import SQLFreshnessRepository
from services.notify.commands import (
    MessageOffice,
    Sender,
    pass_on_neglected,
    prune_what_is_over,
)
from services.notify.entrypoints.api import build_api
from services.notify.entrypoints.api_personal_data import build_personal_data_api
from services.notify.entrypoints.pages import build_pages
from services.notify.handlers import DIRECTORY_HANDLERS, ROUTING_HANDLERS
from services.notify.migrations.tables import BUS, KNOWN_DATASETS, METADATA, PRINCIPALS
from services.notify.ports import Bell, MailTransport, NotifyPorts
from services.notify.settings import NotifySettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.datasets.read_model import KnownDatasets
from shared.events.topics import GROUPS
from shared.identity.principals import Principals, TokenAuthenticator
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.process.context import ProcessContext, ServedService
from shared.process.service import Service
from shared.store.engine import Store
from shared.telemetry.measuring import Measurements

__all__ = ["Notify", "bootstrap", "bootstrap_cluster"]

MIGRATIONS = Path(__file__).parent / "migrations"
HOUR_SECONDS = 3_600.0
LOOK_SECONDS = 60.0
REST_SECONDS = 1.0
"""What comes so soon after other mail finds the mail server's connection still open."""


@dataclass(frozen=True, slots=True)
class Notify:
    """The service, and what its runner may need beside it."""

    service: Service
    ports: NotifyPorts
    office: MessageOffice


class _Post:
    """Sends and gathers. What waits for its neighbours counts as pending; a later retry does not."""

    def __init__(self, store: Store, office: MessageOffice, book: SqlMatterBook, clock: Clock) -> None:
        self._store = store
        self._office = office
        self._book = book
        self._clock = clock
        self._rest_at = 0.0

    async def run_once(self) -> int:
        now = self._clock.monotonic_seconds()
        if not await self.due():
            if now >= self._rest_at:
                await self._office.transport.rest()
            return 0
        self._rest_at = now + REST_SECONDS
        return await self._office.deliver_due()

    async def due(self) -> int:
        async with self._store.read() as connection:
            return await self._book.count_due(connection, self._clock.now(), lease_for=self._office.lease)

    async def pending(self) -> int:
        async with self._store.read() as connection:
            waiting = await self._book.count_untold(connection)
        return waiting + await self.due()


def bootstrap(
    settings: NotifySettings,
    *,
    database_url: str,
    clock: Clock,
    metrics: Measurements,
    base_url: str,
    installation_name: str,
    maildir: Path,
    transport: MailTransport | None = None,
) -> Notify:
    """Build notify. Without a mail server in the settings, messages go to ``maildir``."""
    store = Store(
        database_url, service="notify", metadata=METADATA, tables=BUS, migrations=MIGRATIONS, clock=clock
    )
    book, kept_mail, is_alone = SqlMatterBook(), SQLKeptMail(), not store.is_shared
    ports = NotifyPorts(
        clock=clock,
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=is_alone),
        people=SqlPeopleBook(),
        freshness=SQLFreshnessRepository(),
        book=book,
        kept_mail=kept_mail,
        bell=Bell(),
        group_wait=timedelta(seconds=settings.group_wait_seconds),
    )
    office = MessageOffice(
        store=store,
        book=book,
        kept_mail=kept_mail,
        transport=transport or _transport(settings, maildir),
        sender=Sender(settings.sender_address, base_url, installation_name),
        clock=clock,
        metrics=metrics,
        lease=2 * TIMEOUTS_PER_TRY * timedelta(seconds=settings.smtp_timeout_seconds),
    )
    post = _Post(store, office, book, clock)

    async def take_up() -> None:
        if is_alone:
            # Whatever lease is left is that of a process that is gone.
            async with store.unit_of_work() as work:
                await book.release_leases(work)

    service = Service(
        name="notify",
        store=store,
        subscriptions=[
            Subscription(GROUPS["notify.directory"], bind(DIRECTORY_HANDLERS, ports)),
            Subscription(GROUPS["notify.routing"], bind(ROUTING_HANDLERS, ports)),
        ],
        routers=[build_api(store, ports), build_personal_data_api(store), build_pages(store, ports)],
        works=[
            RecurringWork(
                name="notify.post",
                interval_seconds=settings.poll_seconds,
                run_once=post.run_once,
                pending=post.pending,
                on_wake=ports.bell.on_ring,
                is_divided=True,
            ),
            *_upkeep(store, ports, settings),
            _kept_mail_work(store, kept_mail, ports, office),
        ],
        open=take_up,
        close=office.transport.rest,
        queues=[delivery_queue(SQLParkedDeliveries(store, office.lease))],
    )
    return Notify(service, ports, office)


def _upkeep(store: Store, ports: NotifyPorts, settings: NotifySettings) -> list[RecurringWork]:
    prune = partial(prune_what_is_over, store, ports, kept=timedelta(days=settings.kept_days))
    works = [RecurringWork("notify.prune", HOUR_SECONDS, prune, _nothing_pending)]
    if settings.escalation_days:
        pass_on = partial(pass_on_neglected, store, ports, after=timedelta(days=settings.escalation_days))
        works.append(RecurringWork("notify.escalation", LOOK_SECONDS, pass_on, _nothing_pending))
    return works


def _kept_mail_work(
    store: Store, kept_mail: SQLKeptMail, ports: NotifyPorts, office: MessageOffice
) -> RecurringWork:
    return RecurringWork(
        name="notify.kept-mail",
        interval_seconds=LOOK_SECONDS,
        run_once=office.change_kept,
        pending=partial(_count_kept, store, kept_mail),
        on_wake=ports.bell.on_ring,
    )


async def _count_kept(store: Store, kept_mail: SQLKeptMail) -> int:
    async with store.read() as connection:
        return await kept_mail.count(connection)


async def _nothing_pending() -> int:
    return 0


def bootstrap_cluster(ground: ProcessContext) -> ServedService:
    """Build notify for a process of its own, by the settings of its environment."""
    built = bootstrap(
        NotifySettings(),
        database_url=ground.settings.database_url_of("notify"),
        clock=ground.clock,
        metrics=ground.metrics,
        base_url=ground.http.base_url,
        installation_name=ground.settings.installation_name,
        maildir=ground.settings.data_dir / "mail",
    )
    tokens = Tokens(ground.signing_key, ground.clock)
    return ServedService(
        built.service, TokenAuthenticator(tokens, built.service.store, built.ports.principals)
    )


def _transport(settings: NotifySettings, maildir: Path) -> MailTransport:
    if not settings.smtp_host:
        return MaildirMailTransport(maildir)
    return SMTPMailTransport(
        settings.smtp_host,
        settings.smtp_port,
        username=settings.smtp_username or None,
        password=settings.smtp_password.get_secret_value() or None,
        use_tls=settings.smtp_tls,
        start_tls=settings.smtp_start_tls,
        timeout_seconds=settings.smtp_timeout_seconds,
    )
