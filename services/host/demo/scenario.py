"""What the demo does, all of it through the same HTTP API that everybody uses."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import orjson

from services.host.demo.runs import DemoRun, RunKind, hops_of_run, reached_at
from services.host.demo.state import DemoClock, DemoStateFile
from services.host.running import Host
from services.host.sample.catalog import sample_dataset, sample_people
from services.host.sample.degradations import DEGRADATIONS, Degradation
from services.host.sample.directory import agencies_csv, people_csv, stewardship_csv
from services.host.sample.feed import build_feed
from services.host.sample.hits import SampleHit, sample_hits
from shared.errors import ConflictError, NotFoundError, NutmegError
from shared.events.registry import HIT_RECORDED
from shared.log.port import OutgoingRecord
from shared.store.chunks import chunks
from shared.web.elements import Hop

__all__ = ["Demo", "DemoError", "Progress", "SignInLink", "degradation_named", "demo_of"]

SOURCE = "nutmeg-sample"
HIT_DAYS = 28
HITS_PER_BATCH = 1_000
LOAD_SECONDS_MAX = 600.0
RUN_SECONDS_MAX = 120.0
RUNS_KEPT_MAX = 50
LOOK_SECONDS = 0.05
LINK_USES_MAX = 1_000
GOOD_AGAIN = "The file is again as it was."

Progress = Callable[[str], None]
"""Takes one line of words about what is being done."""


class DemoError(ConflictError):
    """The demo cannot do this. The message names the cause and the cure."""

    slug = "demo"
    title = "The demo cannot do this now"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, next_steps=(("See what the demo can break", "/demo"),))


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link that signs whoever opens it in as that role."""

    label: str
    url: str


class DemoAct(NamedTuple):
    """A button on a dataset's page: a form is posted to ``href``; ``meaning`` says what it will do."""

    label: str
    href: str
    meaning: str


class Demo:
    """The demo of one host. Attach it with :func:`services.host.bootstrap.bootstrap_host`."""

    def __init__(self, host: Host, file: DemoStateFile, clock: DemoClock) -> None:
        self._host = host
        self._file = file
        self._clock = clock
        self._runs: dict[UUID, DemoRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Lock()

    @property
    def degraded(self) -> frozenset[str]:
        """Names of the faults that are turned on."""
        return self._file.state.degraded

    def now(self) -> datetime:
        """Return the demo clock's time."""
        return self._clock.now()

    async def load(self, progress: Progress) -> None:
        """Fill the catalogue, once: directory, feed, use. Repeating it after a kill adds nothing twice."""
        if self._file.state.is_loaded:
            return
        today = self._file.state.today
        async with self._client() as client:
            progress("Importing agencies, people and stewardships")
            # Before the feed: the stewardships say which records are hidden, and the feed cannot.
            for kind, text in (
                ("agencies", agencies_csv()),
                ("people", people_csv()),
                ("stewardships", stewardship_csv(today)),
            ):
                await _post(client, f"/api/v1/directory/imports/{kind}", content=text.encode())
            progress("Harvesting the sample feed: 40 datasets")
            await self._harvest(client)
            progress("Measuring quality")
            await self._host.wait_until_idle(timeout_seconds=LOAD_SECONDS_MAX)
            hits = list(sample_hits(today, HIT_DAYS))
            progress(f"Playing {HIT_DAYS} days of use: {len(hits):,} hits")
            for number, batch in enumerate(chunks(hits, HITS_PER_BATCH)):
                await _post(
                    client,
                    "/api/v1/usage/hits:batch",
                    json={"hits": [_hit(hit) for hit in batch]},
                    headers={"Idempotency-Key": f"sample-{today.isoformat()}-{number}"},
                )
        progress("Waiting until every event is handled")
        await self._host.wait_until_idle(timeout_seconds=LOAD_SECONDS_MAX)
        self._file.change(is_loaded=True)

    async def sign_in_links(self) -> list[SignInLink]:
        """Make links for the roles of the first ten minutes."""
        steward = sample_dataset(DEGRADATIONS["row-count-drop"].dataset_slug).steward_email
        by_role = {person.role: person.email for person in reversed(sample_people())}
        wanted = [
            ("Steward of the expenditures ledger", steward),
            ("Chief data officer", by_role["chief-data-officer"]),
            ("Operator", by_role["operator"]),
            ("Requester", by_role["requester"]),
        ]
        base_url = self._host.app.state.http_settings.base_url
        async with self._client() as client:
            people = (await _get(client, "/api/v1/directory/people"))["items"]
            ids = {person["email"]: person["person_id"] for person in people}
            links = []
            for label, email in wanted:
                made = await _post(
                    client,
                    "/api/v1/sign-in-codes",
                    json={"person_id": ids[email], "uses_max": LINK_USES_MAX},
                )
                links.append(SignInLink(label, base_url + made["path"]))
        return links

    async def degrade(self, name: str) -> DemoRun:
        """Turn a fault on, harvest again, and follow what comes of it. Raises ``DemoError``."""
        degradation = _degradation(name)
        if name in self.degraded:
            raise DemoError(f"{name} is on already; turn it off with: nutmeg demo repair")
        self._file.change(degraded=self.degraded | {name}, degraded_at=self._clock.now())
        return await self._begin("degrade", degradation)

    async def repair(self, name: str | None = None) -> list[DemoRun]:
        """Turn one fault off, or all of them, and follow what comes of it. Raises ``DemoError``."""
        names = sorted(self.degraded) if name is None else [_degradation(name).name]
        if not names or not self.degraded.issuperset(names):
            raise DemoError(f"{name or 'nothing'} is degraded just now; degrade with: nutmeg demo degrade")
        self._file.change(degraded=self.degraded - set(names))
        return [await self._begin("repair", DEGRADATIONS[each]) for each in names]

    def acts_on(self, identifier: str) -> list[DemoAct]:
        """Return the buttons of a dataset's page: break it or repair it, where a fault strikes it."""
        acts = []
        for one in DEGRADATIONS.values():
            if sample_dataset(one.dataset_slug).identifier != identifier:
                continue
            if one.name in self.degraded:
                acts.append(DemoAct("Repair this", f"/demo/repair/{one.dataset_slug}", GOOD_AGAIN))
            else:
                acts.append(DemoAct("Break this", f"/demo/degrade/{one.dataset_slug}", one.what_happens))
        return acts

    async def send_poison(self) -> None:
        """Put a record on the log that no group can handle: a hit that names no dataset.

        It goes past the outbox on purpose; no service of ours could send it.
        """
        event_id = str(uuid4())
        event = {
            "specversion": "1.0",
            "id": event_id,
            "type": HIT_RECORDED.name,
            "source": HIT_RECORDED.source,
            "subject": "00",
            "time": self._clock.now().isoformat(),
            "correlationid": event_id,
        }
        headers = [(f"ce_{name}", value.encode()) for name, value in event.items()]
        await self._host.log.publish(
            [OutgoingRecord(HIT_RECORDED.topic.name, "00", "00", headers, b'{"hit": {}}')]
        )
        await self._host.wait_until_idle(timeout_seconds=LOAD_SECONDS_MAX)

    async def advance(self, by: timedelta) -> None:
        """Move the clock forward, and do what has become due. Raises ``InvalidInputError``."""
        self._clock.advance(by)
        for runner in self._host.runners:
            for work in runner.works:
                work.wake()
        await self._host.wait_until_idle(timeout_seconds=LOAD_SECONDS_MAX)

    def run(self, run_id: UUID) -> DemoRun:
        """Return a fault's run of this process. Raises ``NotFoundError``."""
        run = self._runs.get(run_id)
        if run is None:
            raise NotFoundError(
                "This run is not known.",
                what="run",
                field="run_id",
                fix="Runs are forgotten when the process ends.",
            )
        return run

    def hops(self, run: DemoRun) -> list[Hop]:
        """Return the path of a run as far as it has come."""
        return hops_of_run(run, self._host.log)

    async def close(self) -> None:
        """Give up runs that are still followed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def dataset_id(self, slug: str) -> UUID:
        """Return the id that a sample dataset has here. Raises ``DemoError`` before it is harvested."""
        dataset = sample_dataset(slug)
        async with self._client() as client:
            found = await _get(client, "/api/v1/datasets", q=dataset.title, limit=50)
        for result in found["results"]:
            if result["identifier"] == dataset.identifier:
                return UUID(result["id"])
        raise DemoError(f"{dataset.title} is not in the catalogue; start the demo with: nutmeg demo")

    async def _begin(self, kind: RunKind, degradation: Degradation) -> DemoRun:
        run = DemoRun(
            run_id=uuid4(),
            kind=kind,
            degradation=degradation,
            dataset_id=await self.dataset_id(degradation.dataset_slug),
            dataset_title=sample_dataset(degradation.dataset_slug).title,
            started_at=self._clock.now(),
        )
        self._runs[run.run_id] = run
        while len(self._runs) > RUNS_KEPT_MAX:
            del self._runs[next(iter(self._runs))]
        task = asyncio.create_task(self._follow(run), name=f"demo {kind} {degradation.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _follow(self, run: DemoRun) -> None:
        try:
            async with asyncio.timeout(RUN_SECONDS_MAX):
                async with self._gate, self._client() as client:
                    await self._harvest(client)
                run.finished_at = await self._reached(run)
        except TimeoutError:
            run.failure = f"Nothing reached the inbox within {RUN_SECONDS_MAX:.0f} seconds."
        except NutmegError as error:
            run.failure = str(error)

    async def _reached(self, run: DemoRun) -> datetime:
        while True:
            reached = reached_at(run, self._host.log)
            if reached is not None:
                return reached
            await asyncio.sleep(LOOK_SECONDS)

    async def _harvest(self, client: httpx.AsyncClient) -> None:
        state = self._file.state
        feed = build_feed(
            self._host.app.state.http_settings.base_url,
            state.today,
            state.degraded,
            degraded_at=state.degraded_at,
        )
        answer = await _post(
            client,
            "/api/v1/harvests",
            params={"source": SOURCE, "sample": "true", "wait": "true"},
            content=orjson.dumps(feed),
        )
        if answer["status"] != "completed":
            raise DemoError(f"the sample's harvest is {answer['status']}: {answer['message']}")

    def _client(self) -> httpx.AsyncClient:
        """A client of this very process, with the administrator's token and without a socket."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._host.app),
            base_url=self._host.app.state.http_settings.base_url,
            headers={"Authorization": f"Bearer {self._host.directory.read_admin_token()}"},
            timeout=LOAD_SECONDS_MAX,
            trust_env=False,
        )


def demo_of(host: Host) -> Demo | None:
    """Return the demo that bootstrap built over a host; ``None`` where the data directory is no demo's."""
    demo: Demo | None = host.app.state.demo
    return demo


def degradation_named(words: str | None, how: str | None) -> str:
    """Return the fault that a slug or name, or ``how``, means; the ledger's by default.

    Raises ``DemoError`` that lists what there is.
    """
    known = ", ".join(f"{one.name} ({one.dataset_slug})" for one in DEGRADATIONS.values())
    for one in DEGRADATIONS.values():
        if how in (None, one.name) and words in (None, one.name, one.dataset_slug):
            return one.name
    raise DemoError(f"no fault strikes that dataset in that way; there are: {known}")


def _degradation(name: str) -> Degradation:
    return DEGRADATIONS[degradation_named(name, None)]


def _hit(hit: SampleHit) -> dict[str, Any]:
    return {
        "identifier": sample_dataset(hit.dataset_slug).identifier,
        "kind": hit.kind,
        "occurred_at": hit.at.isoformat(),
        "visitor": {"user_agent": hit.user_agent, "session": hit.visitor},
    }


async def _get(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    return _answer(await client.get(path, params=parameters))


async def _post(client: httpx.AsyncClient, path: str, **request: Any) -> Any:
    return _answer(await client.post(path, **request))


def _answer(response: httpx.Response) -> Any:
    if response.is_error:
        raise DemoError(f"{response.request.url.path} answered {response.status_code}: {response.text[:500]}")
    return response.json()
