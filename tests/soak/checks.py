"""What came of the load, read from every service, against what had to come of it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.soak.load import DATASETS, KINDS, Feed, Hits
from tests.soak.results import Findings
from tests.soak.watching import standing_of
from tests.support.cluster import Cluster
from tests.support.cluster_facts import dead_letters, lag_of, rows_of, unpublished
from tests.support.journeys import answer_of

__all__ = ["check_counts", "check_rest"]

ALERT_KIND = "metadata-degraded"


def check_counts(
    found: Findings, cluster: Cluster, feed: Feed, hits: Hits, message_ids: Sequence[str]
) -> None:
    """Compare hits, alerts, the inbox, mail and the index with what was done."""
    _check_hits(found, cluster, hits)
    numbers = {
        dataset_id: int(identifier.removeprefix("road-"))
        for dataset_id, identifier in rows_of(
            cluster, "catalog", "SELECT dataset_id, identifier FROM datasets"
        )
    }
    found.must_be("datasets", len(numbers), DATASETS, "datasets")
    _check_alerts(found, cluster, feed, numbers)
    _check_inbox(found, cluster, feed, numbers)
    _check_mail(found, cluster, message_ids)
    with cluster.client() as admin:
        drift = answer_of(admin.post("/api/v1/catalog/reconcile"))
    for kind in ("missing", "extra", "stale"):
        found.must_be(f"{kind} in the index", drift[kind], 0, "datasets")


def check_rest(found: Findings, cluster: Cluster) -> int:
    """Nothing is left to do, and nothing was put aside; return how many events were published in all."""
    found.must_be("lag at the end", sum(lag_of(cluster).values()), 0, "records")
    found.must_be("outbox at the end", sum(unpublished(cluster).values()), 0, "records")
    found.must_be("dead letters", sum(dead_letters(cluster).values()), 0, "records")
    return standing_of(cluster).published


def _check_hits(found: Findings, cluster: Cluster, hits: Hits) -> None:
    today = datetime.now(UTC).date()
    days = {"from": (today - timedelta(days=2)).isoformat(), "to": today.isoformat(), "limit": "5000"}
    counted: Counter[tuple[UUID, str]] = Counter()
    with cluster.client() as admin:
        for item in answer_of(admin.get("/api/v1/usage/report", params=days))["items"]:
            for column in KINDS.values():
                counted[UUID(item["dataset_id"]), column] = item[column] or 0
    found.add("hits sent", hits.sent, "hits")
    found.must_be("hits lost", (hits.expected - counted).total(), 0, "hits")
    found.must_be("hits repeated", (counted - hits.expected).total(), 0, "hits")


def _check_alerts(found: Findings, cluster: Cluster, feed: Feed, numbers: dict[UUID, int]) -> None:
    statement = f"SELECT dataset_id, state, occurrences, version FROM alerts WHERE kind = '{ALERT_KIND}'"
    known = {numbers[dataset_id]: rest for dataset_id, *rest in rows_of(cluster, "quality", statement)}
    ((others,),) = rows_of(cluster, "quality", f"SELECT count(*) FROM alerts WHERE kind <> '{ALERT_KIND}'")
    wrong = sum(
        known.get(number) != ["open" if feed.is_poor(number) else "resolved", (toggles + 1) // 2, toggles]
        for number, toggles in enumerate(feed.toggles)
        if toggles
    )
    found.add("alerts opened or resolved", sum(feed.toggles), "events")
    found.must_be("datasets whose alert is not as it has to be", wrong, 0, "datasets")
    more = len(known) - sum(toggles > 0 for toggles in feed.toggles)
    found.must_be("alerts that nothing gave cause for", more + others, 0, "alerts")


def _check_inbox(found: Findings, cluster: Cluster, feed: Feed, numbers: dict[UUID, int]) -> None:
    """Each alert is one line in one steward's inbox; each occurrence is told once each way, or not at all."""
    statement = (
        "SELECT inbox_items.dataset_id, inbox_items.state, "
        "count(DISTINCT inbox_entries.person_id) AS people, "
        "count(DISTINCT notifications.notification_id) AS told "
        "FROM inbox_items LEFT JOIN inbox_entries USING (item_id) LEFT JOIN notifications USING (item_id) "
        f"WHERE inbox_items.kind = '{ALERT_KIND}' GROUP BY inbox_items.dataset_id, inbox_items.state"
    )
    known = {numbers[dataset_id]: rest for dataset_id, *rest in rows_of(cluster, "notify", statement)}
    wrong = sum(
        known.get(number, [])[:2] != ["open" if feed.is_poor(number) else "done", 1]
        for number, toggles in enumerate(feed.toggles)
        if toggles
    )
    found.must_be("inbox lines that are not as they have to be", wrong, 0, "lines")
    unheard = {number: feed.toggles[number] - rest[2] for number, rest in known.items()}
    repeated = -sum(count for count in unheard.values() if count < 0)
    found.must_be("notifications of alerts repeated", repeated, 0, "notifications")
    # One that is over before its mail went out is told neither way, which takes two notifications off.
    halves = sum(count % 2 for count in unheard.values())
    found.must_be("alerts told one way only", halves, 0, "alerts")
    over = sum(count // 2 for count in unheard.values() if count > 0)
    found.add("alerts over before anybody was told", over, "alerts")


def _check_mail(found: Findings, cluster: Cluster, message_ids: Sequence[str]) -> None:
    statement = "SELECT state, count(*) FROM deliveries WHERE channel = 'email' GROUP BY state"
    states = Counter(dict(rows_of(cluster, "notify", statement)))
    found.add("mails accepted", len(message_ids), "mails")
    found.must_be("mails repeated", len(message_ids) - len(set(message_ids)), 0, "mails")
    found.must_be("mails sent", states["sent"], len(set(message_ids)), "mails")
    found.must_be("mails not sent", states.total() - states["sent"], 0, "mails")
