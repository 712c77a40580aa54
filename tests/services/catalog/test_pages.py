"""Pages over the real store and index: nothing hidden shows, and what a page offers works."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from markupsafe import escape

from tests.services.catalog.test_visibility import EVERYONE, MAY_SEE, PLANTED, SECRET, plant
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of


async def test_no_page_shows_a_planted_record_to_who_may_not_see_it(running: RunningCatalog) -> None:
    ids = await plant(running)
    for viewer in EVERYONE:
        hidden = [name for name in PLANTED if viewer not in MAY_SEE[name]]
        lists = [
            (await running.get(path, viewer)).text
            for path in (
                "/",
                "/datasets",
                "/search",
                f"/search?q=title+{ids['public'][:4]}",
                "/search?sort=title",
            )
        ]
        for name in hidden:
            assert not any(f"{SECRET} {name}" in page or f"theme {name}" in page for page in lists), viewer
            for part in ("", "/get/0", "/changes.atom"):
                answer = await running.get(f"/datasets/{ids[name]}{part}", viewer)
                assert answer.status_code == 404
                assert SECRET not in answer.text
        for name in set(PLANTED) - set(hidden):
            assert f"{SECRET} {name}" in (await running.get(f"/datasets/{ids[name]}", viewer)).text


async def test_a_harvested_dataset_can_be_found_read_got_and_followed(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("bridges", title="Bridges by town")))
    results = (await running.get("/search", q="bridge town")).text
    found = re.search(r'<h3 class="result-title"><a href="(/datasets/[0-9a-f-]{36})">', results)
    assert found is not None
    assert "<mark>Bridges</mark>" in results
    page = (await running.get(found[1])).text
    assert "What bridges holds." in page
    assert "Came into the catalogue" in page
    got = await running.get(f"{found[1]}/get/0")
    assert got.headers["location"] == "https://files.example.gov/bridges.csv"
    feed = ET.fromstring((await running.get(f"{found[1]}/changes.atom")).content)
    # How the dataset stands, and its registration.
    assert len(feed.findall("{http://www.w3.org/2005/Atom}entry")) == 2
    home = (await running.get("/")).text
    assert "1 dataset." in home
    assert 'href="/search?theme=Transport"' in home


async def test_more_values_of_a_long_list_are_shown_on_request(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{n}", keyword=[f"word {n}"]) for n in range(25))))
    first = (await running.get("/search", q="holds")).text
    assert first.count("keyword=word+") == 20
    assert '<a href="/search?q=holds&amp;more=1" rel="nofollow">List more' in first
    whole = (await running.get("/search", q="holds", more="1")).text
    assert whole.count("keyword=word+") == 25
    assert "List more" not in whole
    assert all(
        "more=1" in address for address in re.findall(r'href="(/search\?[^"]*keyword=word[^"]*)"', whole)
    )
    page = await running.search(q="holds", facet_limit=25)
    assert len(page["facets"]["keyword"]) == 25
    answer = await running.get("/api/v1/datasets", facet_limit=501)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "facet_limit")


async def test_a_retired_dataset_answers_410_with_the_reason(running: RunningCatalog) -> None:
    whole = [dataset(f"d{number}") for number in range(3)]
    await running.harvest(feed_of(*whole))
    ids = {one["identifier"]: one["id"] for one in (await running.search())["results"]}
    await running.harvest(feed_of(*whole[:2]))
    answer = await running.get(f"/datasets/{ids['d2']}")
    assert answer.status_code == 410
    assert "Title of d2" in answer.text


async def test_a_held_harvest_is_confirmed_from_its_page(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(10))))
    held = await running.harvest(feed_of(dataset("d0")))
    page = (await running.get(f"/harvests/{held['id']}", "operator")).text
    assert "The feed lost 9 of 10 datasets" in page
    answer = await running.client.post(f"/harvests/{held['id']}/confirm", headers=bearer("operator"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/harvests/{held['id']}")
    await running.idle()
    assert "Completed" in (await running.get(f"/harvests/{held['id']}", "operator")).text
    assert (await running.search())["total"] == 1


async def test_every_dataset_of_the_real_feed_has_a_page(running: RunningCatalog, real_data: Path) -> None:
    await running.harvest((real_data / "ct" / "data.json").read_bytes())
    entries = await running.client.get("/api/v1/datasets", params={"limit": 100, "sort": "title"})
    seen = 0
    while True:
        document = entries.json()
        for one in document["results"]:
            answer = await running.get(f"/datasets/{one['id']}")
            assert answer.status_code == 200, one["identifier"]
            assert f"<h1>{escape(one['title'])}</h1>" in answer.text
            seen += 1
        if document["next_cursor"] is None:
            break
        entries = await running.client.get(
            "/api/v1/datasets", params={"limit": 100, "sort": "title", "cursor": document["next_cursor"]}
        )
    assert seen == 307
    assert "307 datasets" in (await running.get("/")).text
    assert (await running.get("/datasets")).status_code == 200
