"""The demo in one process: a fault followed to the inbox and repaired, time moved, killed and restarted."""

import json
import re
import signal
from pathlib import Path

import httpx
import pytest

from services.host.sample.catalog import sample_dataset, sample_datasets
from tests.support.command_line import free_port, nutmeg, serving

pytestmark = [pytest.mark.timeout(600)]

LEDGER = "open-expenditures-ledger"


def report_of(client: httpx.Client) -> dict[str, int]:
    items = client.get("/api/v1/usage/report", params={"limit": 5_000}).json()["items"]
    return {item["title"]: item["views"] for item in items}


def test_a_person_can_break_repair_kill_and_restart_the_demo(tmp_path: Path) -> None:
    folder, port = tmp_path / "demo", free_port()
    command = ("demo", "--data-dir", folder, "--port", str(port))
    at_demo = ("demo", "--data-dir", folder)
    with serving(*command, data_dir=folder, ready="Stop with") as (process, client):
        assert client.get("/api/v1/datasets").json()["total"] == len(sample_datasets())
        _check_files(client)
        degraded = nutmeg(*at_demo, "degrade", "--json")
        assert degraded.returncode == 0, degraded.stderr
        (run,) = json.loads(degraded.stdout)["runs"]
        assert [hop["state"] for hop in run["hops"]] == ["done"] * 5
        assert run["total_milliseconds"] > 0
        again = nutmeg(*at_demo, "degrade")
        assert again.returncode == 1
        assert "is on already" in again.stderr
        repaired = nutmeg(*at_demo, "repair", "--json")
        assert repaired.returncode == 0, repaired.stderr
        assert nutmeg(*at_demo, "poison").returncode == 0
        (letter,) = client.get("/api/v1/ops/dead-letters").json()["items"]
        assert letter["group"] == "usage.counting"
        replayed = nutmeg("dlq", "replay", letter["id"], "--data-dir", folder, "--json")
        assert replayed.returncode == 1, "what is poison today is poison tomorrow"
        (told,) = json.loads(replayed.stdout)["items"]
        assert told["outcome"].startswith("Failed again: ")
        why = ("--reason", "The demo made it up.")
        discarded = nutmeg("dlq", "discard", letter["id"], *why, "--data-dir", folder, "--json")
        assert json.loads(discarded.stdout) == {"discarded": [letter["id"]]}
        shown = nutmeg("dlq", "show", letter["id"], "--data-dir", folder)
        assert "Discarded: The demo made it up." in shown.stdout
        assert re.search(r"last_at\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown.stdout)
        listed = nutmeg("dlq", "list", "--state", "discarded", "--data-dir", folder)
        assert letter["id"] in listed.stdout
        before = report_of(client)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    with serving(*command, data_dir=folder, ready="Stop with") as (_process, client):
        assert report_of(client) == before
        moved = nutmeg(*at_demo, "advance", "7d", "--json")
        assert moved.returncode == 0, moved.stderr
        links = [link["url"] for link in json.loads(moved.stdout)["sign_in_links"]]
        assert len(links) == 4
        visitor = httpx.Client(trust_env=False, timeout=60)
        with visitor:
            assert visitor.get(links[0]).status_code == 200
            assert visitor.post(links[0]).status_code == 303
            assert visitor.get(f"{client.base_url}/inbox").status_code == 200


def _check_files(client: httpx.Client) -> None:
    """Files and open dictionaries are served, hidden ones and the feed are not."""
    hidden = next(one for one in sample_datasets() if one.visibility != "public")
    with httpx.Client(base_url=client.base_url, trust_env=False) as visitor:
        for path, status in (
            (f"/sample/files/{LEDGER}.csv", 200),
            (f"/sample/dictionaries/{LEDGER}.json", 200),
            (f"/sample/dictionaries/{hidden.slug}.json", 404),
            (f"/sample/files/{hidden.slug}.csv", 404),
            ("/sample/data.json", 404),
        ):
            assert visitor.get(path).status_code == status, path
    title = sample_dataset(LEDGER).title
    (found,) = [
        one
        for one in client.get("/api/v1/datasets", params={"q": title}).json()["results"]
        if one["title"] == title
    ]
    page = client.get(f"/datasets/{found['id']}", headers={"Accept": "text/html"}).text
    assert re.search(r"Break this", page)
