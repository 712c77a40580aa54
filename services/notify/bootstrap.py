"""Notify, built: the only place that makes its real objects."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from services.notify.delivery.commands import DeliveryWorker, EmailDispatcher, KeptMessages, Sender
from services.notify.delivery.domain import MailTransport
from services.notify.delivery.maildir import MaildirMailTransport
from services.notify.delivery.repository.deliveries import DeliveryRepository
from services.notify.delivery.repository.kept_mail import KeptMailRepository
from services.notify.delivery.repository.parked import ParkedDeliveries, delivery_queue
from services.notify.delivery.smtp import TIMEOUTS_PER_TRY, SMTPMailTransport
from services.notify.handlers import DIRECTORY_HANDLERS, ROUTING_HANDLERS
from services.notify.inbox.api.inbox import build_api
from services.notify.inbox.api.personal_data import build_personal_data_api
from services.notify.inbox.commands import Inbox, delete_finished
from services.notify.inbox.pages import build_pages
from services.notify.inbox.repository import InboxRepository
from services.notify.migrations.tables import DELIVERY, KNOWN_DATASETS, METADATA, PRINCIPALS
from services.notify.routing.commands.alerts import escalate_unacknowledged
from services.notify.routing.commands.context import RoutingContext
from services.notify.routing.repository import FreshnessRepository, PeopleRepository
from services.notify.settings import NotifySettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.datasets.read_model import KnownDatasets
from shared.events.topics import GROUPS
from shared.identity.principals import Principals, TokenAuthenticator
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.jobs.wake_signal import WakeSignal
from shared.process.context import ProcessContext, ServedService
from shared.process.service import Service
from shared.store.engine import Store
from shared.telemetry.measuring import Measurements

__all__ = ["Notify", "bootstrap", "bootstrap_cluster"]

MIGRATIONS = Path(__file__).parent / "migrations"
HOUR_SECONDS = 3_600.0
LOOK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Notify:
    """The service, and what its runner may need beside it."""

    service: Service
    context: RoutingContext
    dispatcher: EmailDispatcher


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
        database_url, service="notify", metadata=METADATA, tables=DELIVERY, migrations=MIGRATIONS, clock=clock
    )
    kept_mail, is_alone = KeptMailRepository(), not store.is_shared
    inbox = Inbox(clock, InboxRepository(), WakeSignal(), timedelta(seconds=settings.group_wait_seconds))
    context = RoutingContext(
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=is_alone),
        people=PeopleRepository(),
        freshness=FreshnessRepository(),
        kept=KeptMessages(kept_mail),
        inbox=inbox,
    )
    dispatcher = EmailDispatcher(
        store=store,
        deliveries=DeliveryRepository(),
        kept_mail=kept_mail,
        transport=transport or _transport(settings, maildir),
        sender=Sender(settings.sender_address, base_url, installation_name),
        clock=clock,
        metrics=metrics,
        lease=2 * TIMEOUTS_PER_TRY * timedelta(seconds=settings.smtp_timeout_seconds),
    )
    worker = DeliveryWorker(store, dispatcher, clock)

    async def take_up() -> None:
        if is_alone:
            # Whatever lease is left is that of a process that is gone.
            async with store.unit_of_work() as work:
                await dispatcher.deliveries.release_leases(work)

    service = Service(
        name="notify",
        store=store,
        subscriptions=[
            Subscription(GROUPS["notify.directory"], bind(DIRECTORY_HANDLERS, context)),
            Subscription(GROUPS["notify.routing"], bind(ROUTING_HANDLERS, context)),
        ],
        routers=[build_api(store, inbox), build_personal_data_api(store), build_pages(store, inbox)],
        works=[
            RecurringWork(
                name="notify.post",
                interval_seconds=settings.poll_seconds,
                run_once=worker.run_once,
                pending=worker.pending,
                on_wake=inbox.wake_signal.on_wake,
                is_divided=True,
            ),
            *_upkeep(store, context, settings),
            _kept_mail_work(store, kept_mail, inbox, dispatcher),
        ],
        open=take_up,
        close=dispatcher.transport.rest,
        queues=[delivery_queue(ParkedDeliveries(store, dispatcher.lease))],
    )
    return Notify(service, context, dispatcher)


def _upkeep(store: Store, context: RoutingContext, settings: NotifySettings) -> list[RecurringWork]:
    prune = partial(delete_finished, store, context.inbox, kept=timedelta(days=settings.kept_days))
    works = [RecurringWork("notify.prune", HOUR_SECONDS, prune, _nothing_pending)]
    if settings.escalation_days:
        escalate = partial(
            escalate_unacknowledged, store, context, after=timedelta(days=settings.escalation_days)
        )
        works.append(RecurringWork("notify.escalation", LOOK_SECONDS, escalate, _nothing_pending))
    return works


def _kept_mail_work(
    store: Store, kept_mail: KeptMailRepository, inbox: Inbox, dispatcher: EmailDispatcher
) -> RecurringWork:
    return RecurringWork(
        name="notify.kept-mail",
        interval_seconds=LOOK_SECONDS,
        run_once=dispatcher.change_kept,
        pending=partial(_count_kept, store, kept_mail),
        on_wake=inbox.wake_signal.on_wake,
    )


async def _count_kept(store: Store, kept_mail: KeptMailRepository) -> int:
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
        built.service, TokenAuthenticator(tokens, built.service.store, built.context.principals)
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
