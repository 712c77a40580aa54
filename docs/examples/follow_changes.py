"""Follow what changes in a Nutmeg catalogue: each event once, in order, also after a restart.

Run: python follow_changes.py http://127.0.0.1:8080 place.txt
The place is written after a page was handled, so a crash repeats at most one page: handle events by their id.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen


def follow(base_url: str, place: Path) -> Iterator[dict[str, Any]]:
    """Yield events for ever; move the place after each page."""
    cursor = place.read_text() if place.exists() else ""
    while True:
        query = urlencode({"limit": 100} | ({"cursor": cursor} if cursor else {}))
        with urlopen(f"{base_url}/api/v1/events?{query}", timeout=30) as answer:  # noqa: S310
            page = json.load(answer)
        yield from page["events"]
        cursor = page["next_cursor"]
        place.write_text(cursor)
        if not page["events"]:
            time.sleep(2)


if __name__ == "__main__":
    for event in follow(sys.argv[1], Path(sys.argv[2])):
        title = event.get("data", {}).get("dataset", {}).get("title", event["subject"])
        print(event["time"], event["type"], title, flush=True)  # noqa: T201
