"""Imports of the directory by API and command: what is wrong in a file is told with its line."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.host.cli.app import app
from services.host.cli.errors import CommandError
from shared.clock import SystemClock
from tests.support.host_in_process import RunningHost, feed_of, run_host

OPEN_QUOTE = 'code,name\nA1,First\nA2,"open\nA3,Third\n'
TOO_LONG = f"code,name\nA1,First\nA2,{'x' * 131_073}\n"


async def test_the_api_tells_the_line_of_what_was_not_taken_and_of_what_is_not_known(tmp_path: Path) -> None:
    async with run_host(tmp_path / "data", clock=SystemClock()) as running:

        async def imported(kind: str, text: str) -> dict[str, Any]:
            answer = await running.client.post(f"/api/v1/directory/imports/{kind}", content=text)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        report = await imported("agencies", OPEN_QUOTE)
        assert (report["rows"], report["changed"], report["refused"]) == (1, 1, 1)
        assert report["problems"][0]["line"] == 3
        report = await imported("agencies", "code,name,code\nA1,First,A1\n")
        assert (report["rows"], report["refused"]) == (0, 1)
        await running.harvest(feed_of("roads"))
        await running.idle()
        report = await imported("stewardships", "identifier,agency_code\nroads,A1\nraods,A1\n")
        assert (report["rows"], report["refused"], report["noted"]) == (2, 0, 1)
        (note,) = report["notes"]
        assert (note["line"], note["field"]) == (3, "identifier")
        assert "'raods'" in note["message"]
        await _refuses_what_cannot_be_held(running)


async def _refuses_what_cannot_be_held(running: RunningHost) -> None:
    answer = await running.client.post("/api/v1/directory/imports/agencies", content=TOO_LONG)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == ("line 3", "cell_too_long")
    agencies = (await running.client.get("/api/v1/directory/agencies")).json()["items"]
    assert [agency["code"] for agency in agencies] == ["A1"]
    for number in (2**63, 10**30):
        page = await running.client.get("/directory/audit", params={"before": number})
        assert page.status_code == 422
        (error,) = page.json()["errors"]
        assert error["parameter"] == "before"
        (dataset_id,) = (await running.dataset_ids()).values()
        got = await running.client.get(f"/datasets/{dataset_id}/get/{number}")
        assert (got.status_code, got.json()["errors"][0]["parameter"]) == (422, "number")


def test_the_command_tells_the_line_and_does_not_end_as_if_all_was_taken(tmp_path: Path) -> None:
    file, data_dir = tmp_path / "agencies.csv", str(tmp_path / "data")
    file.write_text(OPEN_QUOTE)
    done = CliRunner().invoke(app, ["import", "agencies", str(file), "--data-dir", data_dir])
    assert done.exit_code == 3, done.output
    assert "line 3, *: a quotation mark opens here and is never closed" in done.output
    rows = tmp_path / "stewardships.csv"
    rows.write_text("identifier,agency_code\nroads,A1\n")
    done = CliRunner().invoke(app, ["import", "stewardships", str(rows), "--data-dir", data_dir])
    assert done.exit_code == 0, done.output
    assert "line 2, identifier: no dataset is called 'roads' yet" in done.output
    file.write_text(TOO_LONG)
    done = CliRunner().invoke(app, ["import", "agencies", str(file), "--data-dir", data_dir])
    assert isinstance(done.exception, CommandError)
    assert "Line 3 holds a cell" in str(done.exception)


@pytest.mark.parametrize("version", ["9223372036854775808", "1" * 30])
def test_a_version_that_no_database_takes_is_an_invalid_event(version: str) -> None:
    from shared.errors import InvalidEventError
    from shared.events.envelope import decode

    headers = [
        ("ce_type", b"nutmeg.catalog.dataset.changed.v1"),
        ("ce_source", b"/catalog"),
        ("ce_subject", b"one"),
        ("ce_id", b"1"),
        ("ce_time", b"2026-03-01T00:00:00Z"),
        ("ce_subjectversion", version.encode()),
    ]
    with pytest.raises(InvalidEventError, match="no database takes"):
        decode(headers, None)
