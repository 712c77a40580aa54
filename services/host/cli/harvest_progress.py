"""How ``nutmeg harvest`` follows its harvest: from reading to the last measurement.

The result of the harvest is told as soon as it stands. What follows (events to every service, the index, a
profile of each data file) is waited for within bounds, and what is left by then is told, not failed: a server
goes on with it, and without one the next process does.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from services.host.cli.errors import IN_PART, CommandError

if TYPE_CHECKING:
    from services.host.cli.connection import Connection
    from services.host.cli.output import ProgressBar

__all__ = ["harvest_to_the_end"]

CHUNK_BYTES = 1024 * 1024
LOOK_SECONDS = 0.1
DRAIN_SLICE_SECONDS = 2.0
REJECTIONS_SHOWN_MAX = 20


async def harvest_to_the_end(
    connection: "Connection",
    content: Path | str,
    parameters: dict[str, Any],
    *,
    wait: float,
    as_json: bool,
) -> int:
    """Harvest, tell the result, wait for what follows at most ``wait`` seconds; return the exit code.

    Raises ``CommandError`` for a harvest that failed.
    """
    from services.host.cli.output import progress_bar, tell

    with progress_bar() as bar:
        job = await _follow(connection, content, parameters, bar)
    code = _tell_result(job, as_json=as_json)
    with progress_bar() as bar:
        left = await _wait_for_measurements(connection, bar, seconds=wait)
    connection.is_awaited = True
    if left:
        goes_on = "See nutmeg status." if connection.streams else "nutmeg up, or the next command, goes on."
        tell(f"The harvest is done. Still going on: {left}. {goes_on}")
    return code


async def _follow(
    connection: "Connection", content: Path | str, parameters: dict[str, Any], bar: "ProgressBar"
) -> Any:
    """Send a feed, or its address, and return its job once it has ended."""
    bar.update("Reading the feed")
    request: dict[str, Any] = (
        {"json": {"url": content}} if isinstance(content, str) else {"content": _chunks(content, bar)}
    )
    job = await connection.call(
        "POST",
        "/api/v1/harvests",
        parameters=parameters,
        headers={"Idempotency-Key": str(uuid4())},
        **request,
    )
    while job["status"] in ("queued", "running"):
        await asyncio.sleep(LOOK_SECONDS)
        job = await connection.get(f"/api/v1/harvests/{job['id']}")
        bar.update("Storing records", job["progress"]["processed"], job["progress"]["total"])
    return job


def _tell_result(job: dict[str, Any], *, as_json: bool) -> int:
    """Print what a harvest did, and return the exit code. Raises ``CommandError`` for one that failed."""
    from services.host.cli.output import say, show_json, tell

    if job["status"] in ("failed", "parked"):
        raise CommandError(job["message"])
    result = job["result"]
    if as_json:
        show_json({"source": job["source"], "first_harvest": job["first_harvest"], **result})
    else:
        is_new = " (a new one)" if job["first_harvest"] else ""
        say(f"Source: {job['source']}{is_new}")
        names: tuple[Literal["created", "changed", "unchanged", "retired", "rejected"], ...]
        names = ("created", "changed", "unchanged", "retired", "rejected")
        say(", ".join(f"{result[name]:,} {name}" for name in names))
        for rejection in result["rejections"][:REJECTIONS_SHOWN_MAX]:
            for problem in rejection["problems"]:
                name = rejection["title"] or rejection["identifier"] or "a record without a name"
                tell(f"{name}: {problem['field']}: {problem['message']} {problem['cure']}")
    if job["status"] == "held":
        tell(
            f"held: {job['message']} Confirm with: nutmeg harvest … --confirm. Its own source: --source NAME"
        )
    return IN_PART if job["status"] == "held" or result["rejected"] else 0


async def _wait_for_measurements(connection: "Connection", bar: "ProgressBar", *, seconds: float) -> str:
    """Wait until everything that the harvest caused is done, at most so long; return what is left, in words.

    The harvest has ended well by now: whatever keeps this from being seen is told, and fails nothing.
    """
    from services.host.cli.output import tell

    until = asyncio.get_running_loop().time() + seconds
    most = 0
    try:
        while True:
            left = until - asyncio.get_running_loop().time()
            answer = await connection.call(
                "POST",
                "/api/v1/ops/drain",
                parameters={"timeout_seconds": max(0.1, min(DRAIN_SLICE_SECONDS, left))},
            )
            if answer["idle"]:
                return ""
            status = await connection.get("/api/v1/ops/status")
            words, waiting = _stage(status)
            most = max(most, waiting)
            bar.update(words, most - waiting, most)
            if left <= 0:
                return f"{words}: {waiting:,} left" if waiting else str(answer["busy"])
    except CommandError as error:
        tell(f"What follows the harvest cannot be watched: {error}")
        return ""


def _stage(status: dict[str, Any]) -> tuple[str, int]:
    """Return the earliest stage that is not done, in words, and how much of it is left."""
    pending = {work["name"]: work["pending"] or 0 for work in status["works"]}
    events = sum(outbox["records"] for outbox in status["outboxes"])
    events += sum(consumer["lag_records"] for consumer in status["consumers"])
    if pending.get("catalog.index"):
        return "Indexing datasets", pending["catalog.index"]
    if events:
        return "Telling every service", events
    return "Measuring data files", sum(number for name, number in pending.items() if name != "catalog.index")


async def _chunks(path: Path, bar: "ProgressBar") -> AsyncIterator[bytes]:
    total, done = (await asyncio.to_thread(path.stat)).st_size, 0
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            bar.update("Reading the feed", done, total)
