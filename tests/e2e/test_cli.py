"""The command line in processes of its own: exit codes, JSON, error lines, with a server and without."""

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.command_line import nutmeg, serving

HARVEST_KEYS = {
    "source",
    "first_harvest",
    "created",
    "changed",
    "unchanged",
    "retired",
    "rejected",
    "rejections",
}


def dataset(number: int) -> dict[str, Any]:
    return {
        "@type": "dcat:Dataset",
        "identifier": f"https://data.example.gov/bridges/{number}",
        "title": f"Bridge inspections in district {number}",
        "description": "Every inspection of a bridge, with its date and its rating.",
        "keyword": ["bridges"],
        "modified": "2026-01-05",
        "accessLevel": "public",
        "publisher": {"name": "Department of Transportation"},
        "contactPoint": {"fn": "Bridge desk", "hasEmail": "mailto:bridges@example.gov"},
    }


def write_feed(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text(
        json.dumps({"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": records})
    )
    return path


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feed")
    return write_feed(folder / "data.json", [dataset(1), dataset(2), {"title": "It has no identifier"}])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("installation") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, feed: Path) -> Iterator[httpx.Client]:
    """A server in whose directory the feed was harvested before, without it."""
    first = nutmeg("harvest", feed, "--data-dir", data_dir, "--json")
    assert first.returncode == 3, first.stderr
    with serving("up", "--data-dir", data_dir, "--port", "0", data_dir=data_dir, ready="answers at") as (
        _process,
        client,
    ):
        yield client


PROGRESS = ("Reading the feed", "Indexing datasets", "Measuring data files")


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0]


def test_a_command_leaves_second_tries_to_the_next_process_and_says_so(tmp_path: Path) -> None:
    unreachable = {"downloadURL": "https://nowhere.invalid/bridges.csv", "mediaType": "text/csv"}
    feed = write_feed(tmp_path / "bridges.json", [dataset(1) | {"distribution": [unreachable]}])
    done = nutmeg("harvest", feed, "--data-dir", tmp_path / "data")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Source: bridges.json (a new one)")
    *progress, line = done.stderr.splitlines()
    assert [one for one in progress if not one.startswith(PROGRESS)] == []
    assert line.startswith("Data files that could not be fetched: 1. Tried again from ")


def test_without_a_server_a_harvest_is_done_whole_before_the_command_returns(
    tmp_path: Path, feed: Path
) -> None:
    done = nutmeg("harvest", feed, "--data-dir", tmp_path / "data", "--json")
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == HARVEST_KEYS
    assert (result["created"], result["rejected"]) == (2, 1)
    assert (result["source"], result["first_harvest"]) == (f"{feed.parent.name}/data.json", True)
    (rejection,) = result["rejections"]
    assert set(rejection) == {"identifier", "title", "problems"}
    assert set(rejection["problems"][0]) == {"field", "message", "cure"}
    found = nutmeg("search", "bridge", "inspections", "--data-dir", tmp_path / "data", "--json")
    assert found.returncode == 0, found.stderr
    page = json.loads(found.stdout)
    assert {"total", "results", "facets"} <= set(page)
    assert page["total"] == 2
    assert {"id", "title"} <= set(page["results"][0])


def test_a_command_goes_through_the_server_that_runs_on_its_directory(
    server: httpx.Client, data_dir: Path, tmp_path: Path
) -> None:
    more = write_feed(tmp_path / "more.json", [dataset(1), dataset(2), dataset(3)])
    done = nutmeg("harvest", more, "--data-dir", data_dir, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["created"], result["unchanged"]) == (1, 2)
    titles = {one["title"] for one in server.get("/api/v1/datasets?q=bridge").json()["results"]}
    assert "Bridge inspections in district 3" in titles


@pytest.mark.usefixtures("server")
def test_a_second_server_on_the_same_directory_is_refused_in_one_line(data_dir: Path) -> None:
    done = nutmeg("up", "--data-dir", data_dir, "--port", "0")
    assert done.returncode == 1
    assert "is in use by process" in one_line(done)


@pytest.mark.usefixtures("server")
def test_index_and_catalogue_are_compared_and_built_anew(data_dir: Path) -> None:
    drift = nutmeg("reconcile", "--data-dir", data_dir, "--json")
    assert drift.returncode == 0, drift.stderr
    found = json.loads(drift.stdout)
    assert {"store", "index", "missing", "extra", "stale"} <= set(found)
    assert (found["missing"], found["extra"], found["stale"]) == (0, 0, 0)
    built = nutmeg("reindex", "--data-dir", data_dir, "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["applied"] == found["store"]


@pytest.mark.usefixtures("server")
def test_an_import_with_a_row_that_is_refused_ends_with_3_and_names_the_cure(
    data_dir: Path, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text(
        "email,display_name,role\nsteward@example.gov,Steward,requester\nnobody,Nobody,requester\n"
    )
    done = nutmeg("import", "people", people, "--data-dir", data_dir, "--json")
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert (report["changed"], report["refused"]) == (1, 1)
    assert report["problems"][0]["line"] == 3
    assert report["problems"][0]["cure"]


def test_a_token_lets_its_person_in_until_it_is_revoked(server: httpx.Client, data_dir: Path) -> None:
    address = "administrator@localhost"
    issued = nutmeg("token", "issue", address, "--label", "test", "--data-dir", data_dir, "--json")
    assert issued.returncode == 0, issued.stderr
    token = json.loads(issued.stdout)["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.get("/api/v1/ops/status", headers=bearer).status_code == 200
    listed = json.loads(nutmeg("token", "list", address, "--data-dir", data_dir, "--json").stdout)
    (known,) = [one for one in listed["items"] if one["label"] == "test"]
    assert token not in json.dumps(listed)
    revoked = nutmeg("token", "revoke", address, "--id", known["token_id"], "--data-dir", data_dir)
    assert revoked.returncode == 0, revoked.stderr
    assert server.get("/api/v1/ops/status", headers=bearer).status_code == 401
    assert server.get("/api/v1/ops/status").status_code == 200


@pytest.mark.usefixtures("server")
def test_operators_read_status_and_dead_letters(data_dir: Path) -> None:
    status = nutmeg("status", "--data-dir", data_dir, "--json")
    assert status.returncode == 0, status.stdout
    assert json.loads(status.stdout)["causes"] == []
    letters = nutmeg("dlq", "list", "--data-dir", data_dir, "--json")
    assert json.loads(letters.stdout) == {"items": [], "total": 0}
    unknown = nutmeg("dlq", "show", str(uuid4()), "--data-dir", data_dir)
    assert unknown.returncode == 1
    assert "No dead letter has the id" in one_line(unknown)


@pytest.mark.usefixtures("server")
def test_events_are_printed_one_per_line_as_cloud_events(data_dir: Path) -> None:
    done = nutmeg("events", "tail", "--no-follow", "--data-dir", data_dir, "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    registered = [one for one in events if one["type"] == "nutmeg.catalog.dataset.registered.v1"]
    assert len(registered) >= 2
    assert {one["specversion"] for one in events} == {"1.0"}


@pytest.mark.usefixtures("server")
def test_use_is_reported_and_a_file_profiled(data_dir: Path, tmp_path: Path) -> None:
    report = nutmeg("usage", "report", "--data-dir", data_dir, "--json")
    assert report.returncode == 0, report.stderr
    assert len(json.loads(report.stdout)["items"]) >= 2
    rows = tmp_path / "rows.csv"
    rows.write_text("town,bridges\nAvon,4\nBerlin,7\nCanton,\n")
    profile = nutmeg("quality", "profile", rows, "--data-dir", data_dir, "--json")
    assert profile.returncode == 0, profile.stderr
    columns = {column["name"]: column for column in json.loads(profile.stdout)["columns"]}
    assert set(columns) == {"town", "bridges"}
    assert columns["town"]["minimum"] is None
    assert columns["town"]["commonest"][0] == {"value": "Avon", "rows": 1}
    assert (columns["bridges"]["minimum"], columns["bridges"]["maximum"]) == ("4", "7")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_profile_tells_how_the_file_is_written_and_ends_with_3_where_rows_were_refused(
    data_dir: Path, tmp_path: Path, form: tuple[str, ...]
) -> None:
    rows = tmp_path / "refused.csv"
    good = "".join(f"Canton;{number}\n" for number in range(40))
    rows.write_bytes(f"town;bridges\nAvon;4\nBerlin;7;extra\nPrés;3\n{good}".encode("cp1252"))
    profile = nutmeg("quality", "profile", rows, "--data-dir", data_dir, *form)
    assert profile.returncode == 3, profile.stderr
    if form:
        found = json.loads(profile.stdout)
        told = [found[name] for name in ("row_count", "rejected_row_count", "delimiter", "encoding")]
        assert told == [42, 1, ";", "cp1252"]
    else:
        for line in ("Rows: 42", "Rejected rows: 1 (", "Delimiter: semicolon", "Encoding: cp1252"):
            assert line in profile.stdout


def test_secrets_are_for_their_owner_only(server: httpx.Client, data_dir: Path) -> None:
    assert server.get("/healthz").status_code == 200
    for name in ("admin-token", "signing-key", "server.json"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_operations_are_for_operators(server: httpx.Client) -> None:
    public = {"Authorization": ""}
    for path in ("/api/v1/ops/status", "/api/v1/ops/dead-letters", f"/api/v1/ops/paths/{uuid4()}", "/ops"):
        assert server.get(path, headers=public).status_code == 401, path


def test_the_path_of_an_event_names_every_group_that_handled_it(
    server: httpx.Client, data_dir: Path, tmp_path: Path
) -> None:
    feed = write_feed(tmp_path / "path.json", [dataset(1), dataset(2), dataset(3), dataset(4)])
    assert nutmeg("harvest", feed, "--data-dir", data_dir).returncode == 0
    events = server.get("/api/v1/events", params={"limit": 500}).json()["events"]
    newest = next(one for one in reversed(events) if one["type"].endswith("dataset.registered.v1"))
    path = server.get(f"/api/v1/ops/paths/{newest['correlationid']}").json()
    assert path["is_finished"]
    first = path["events"][0]
    groups = {one["group"]: one for one in first["handlings"]}
    assert {"quality.measuring", "notify.directory", "usage.directory"} <= set(groups)
    assert {one["state"] for one in groups.values()} == {"done"}
    assert all(one["milliseconds"] is not None for one in groups.values())
    assert UUID(first["event_id"])
    page = server.get(f"/ops/paths/{newest['correlationid']}", headers={"Accept": "text/html"})
    assert "data-finished" in page.text


def test_a_killed_server_leaves_everything_to_the_next_process(tmp_path: Path, feed: Path) -> None:
    folder = tmp_path / "data"
    with serving("up", "--data-dir", folder, "--port", "0", data_dir=folder, ready="answers at") as (
        process,
        client,
    ):
        assert client.post("/api/v1/harvests?wait=true", content=feed.read_bytes()).status_code == 200
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert (folder / "server.json").exists()
    found = nutmeg("search", "bridge", "--data-dir", folder, "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["total"] == 2


def test_a_stopped_server_takes_its_address_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with serving("up", "--data-dir", folder, "--port", "0", data_dir=folder, ready="answers at") as (
        process,
        _client,
    ):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert not (folder / "server.json").exists()


def test_failures_are_one_line_with_exit_code_1(tmp_path: Path) -> None:
    missing = nutmeg("harvest", tmp_path / "absent.json", "--data-dir", tmp_path / "data")
    assert missing.returncode == 1
    assert "neither a file nor an http address" in one_line(missing)
    nobody = nutmeg("status", "--api", "http://127.0.0.1:9", "--token", "none")
    assert nobody.returncode == 1
    assert "does not answer" in one_line(nobody)


def test_asking_a_directory_that_is_none_says_so_and_makes_nothing(tmp_path: Path) -> None:
    absent = nutmeg("search", "roads", "--data-dir", tmp_path / "typo")
    assert absent.returncode == 1
    assert "there is no Nutmeg in" in one_line(absent)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "file").write_text("")
    taken = nutmeg("status", "--data-dir", tmp_path / "file")
    assert taken.returncode == 1
    assert "is a file" in one_line(taken)


@pytest.mark.parametrize(
    "arguments",
    [("harvest",), ("dlq", "replay"), ("demo", "advance", "soon"), ("search", "--limit", "0"), ("fly",)],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert nutmeg(*arguments).returncode == 2
