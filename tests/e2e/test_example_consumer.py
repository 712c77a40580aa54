"""The example in the docs does what it says, against a whole Nutmeg."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, run_installation

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "follow_changes.py"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with run_installation(tmp_path / "data") as running:
        yield running


def feed(*titles: str) -> dict[str, Any]:
    return {
        "conformsTo": "https://project-open-data.cio.gov/v1.1/schema",
        "dataset": [
            {"identifier": f"id-{number}", "title": title, "description": "Counts.", "accessLevel": "public"}
            for number, title in enumerate(titles)
        ],
    }


def followed(installation: Installation, place: Path, wanted: str) -> list[str]:
    """Run the example until it tells ``wanted``, then end it rudely; return its lines."""
    process = subprocess.Popen(
        [sys.executable, EXAMPLE, installation.base_url, place], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        until = time.monotonic() + 60
        for line in process.stdout:
            lines.append(line.rstrip())
            if wanted in line:
                break
            assert time.monotonic() < until, lines
        time.sleep(0.5)  # it writes its place once the page is handled
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return lines


def test_each_change_is_told_once_in_order_also_after_a_restart(
    installation: Installation, tmp_path: Path
) -> None:
    path, place = tmp_path / "feed.json", tmp_path / "place.txt"
    path.write_text(json.dumps(feed("Roads", "Bridges")))
    installation.answer("harvest", path, "--source", "test")
    installation.wait_until_idle()
    first = followed(installation, place, "Bridges")
    assert [line.split(" ", 2)[1:] for line in first if ".dataset." in line] == [
        ["nutmeg.catalog.dataset.registered.v1", "Roads"],
        ["nutmeg.catalog.dataset.registered.v1", "Bridges"],
    ]

    path.write_text(json.dumps(feed("Roads", "Bridges and tunnels")))
    installation.answer("harvest", path, "--source", "test")
    installation.wait_until_idle()
    second = followed(installation, place, "Bridges and tunnels")
    assert len({*second}) == len(second)
    assert not {*first} & {*second}
    told = [line.split(" ", 2)[1:] for line in second if ".dataset." in line]
    assert told == [["nutmeg.catalog.dataset.changed.v1", "Bridges and tunnels"]]
