"""An attack on a whole installation: planted hidden records are looked for wherever anybody may ask.

Each planted record has a word to search for and a mark that is never sent by us, so that an answer with the
mark in it has told something, and is not only repeating the question.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.installation import Installation, run_installation
from tests.support.journeys import answer_of, client_of

pytestmark = [pytest.mark.timeout(600)]

HIDDEN = ("forgov", "foraaa", "forbbb", "forret")
"""For the government, for agency A, for agency B, and one of agency A that was retired."""

REQUESTER, STEWARD_A, STEWARD_B = "asker@example.org", "steward.a@example.gov", "steward.b@example.gov"
ATTACKERS = {
    "anybody": (None, set(HIDDEN)),
    "requester": (REQUESTER, set(HIDDEN)),
    "steward of another agency": (STEWARD_B, {"foraaa", "forret"}),
    "steward of the first agency": (STEWARD_A, {"forbbb"}),
}
PEOPLE = f"""email,display_name,role,agency_code
{REQUESTER},Asker,requester,
{STEWARD_A},Steward A,steward,A
{STEWARD_B},Steward B,steward,B
"""
STEWARDSHIPS = f"""identifier,agency_code,steward_email,access_level,visibility
id-forgov,A,{STEWARD_A},restricted public,government
id-foraaa,A,{STEWARD_A},restricted public,agency
id-forbbb,B,{STEWARD_B},restricted public,agency
id-forret,A,{STEWARD_A},public,agency
"""


def mark(name: str) -> str:
    return f"xylomark{name}"


def planted(name: str, **changes: Any) -> dict[str, Any]:
    """A record whose every text has its mark."""
    return {
        "identifier": f"id-{name}",
        "title": f"Quokka {mark(name)}",
        "description": f"Wombat{name} {mark(name)} one row is one quokka.",
        "keyword": [f"{mark(name)}-{word}" for word in ("keyword", "word", "name")],
        "spatial": f"{mark(name)} county",
        "temporal": "2020-01-01/2024-12-31",
        "theme": [f"{mark(name)} theme"],
        "license": f"https://licenses.example.gov/{mark(name)}",
        "landingPage": f"https://pages.example.gov/{mark(name)}",
        "accessLevel": "public",
        "modified": "2026-01-01",
        "publisher": {"name": f"Bureau {mark(name)}"},
        **changes,
    }


PUBLIC = {
    "identifier": "id-open",
    "title": "Quokka counts",
    "description": "Quokkas by town.",
    "accessLevel": "public",
    "modified": "2026-01-01",
    "publisher": {"name": "Agency A"},
}


@dataclass
class Field:
    """A running installation with the records planted, and the ids that hidden things have."""

    installation: Installation
    ids: dict[str, str]
    alert_id: str
    request_id: str
    item_id: str
    harvest_id: str

    def attacker(self, email: str | None) -> httpx.Client:
        return self.installation.client("") if email is None else client_of(self.installation, email)

    def secrets(self, hidden: set[str]) -> set[str]:
        return {mark(name) for name in hidden}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with run_installation(
        tmp_path_factory.mktemp("attack") / "data",
        NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
    ) as installation:
        yield plant(installation)


def plant(installation: Installation) -> Field:
    with installation.client() as admin:
        for kind, text in (
            ("agencies", "code,name\nA,Agency A\nB,Agency B\n"),
            ("people", PEOPLE),
            ("stewardships", STEWARDSHIPS),
        ):
            answer_of(admin.post(f"/api/v1/directory/imports/{kind}", content=text.encode()))
        # At once: nobody has to wait until the catalogue knows what is hidden.
        records = [PUBLIC, *(planted(name) for name in HIDDEN)]
        harvest_id = harvest(admin, records)["id"]
        installation.wait_until_idle()
        found = answer_of(admin.get("/api/v1/datasets", params={"q": "quokka", "limit": 50}))["results"]
        ids = {one["identifier"].removeprefix("id-"): one["id"] for one in found}
        # The record of agency A loses its texts and so has an alert; the last one is retired.
        lost = ("description", "keyword", "theme", "license", "landingPage", "spatial", "temporal")
        poorer = planted("foraaa", **dict.fromkeys(lost))
        harvest(admin, [PUBLIC, planted("forgov"), poorer, planted("forbbb")])
        hits = [
            {"identifier": f"id-{name}", "kind": "view", "occurred_at": "2026-01-10T10:00:00Z"}
            for name in ("forgov", "foraaa", "forbbb")
        ]
        assert admin.post("/api/v1/usage/hits:batch", json={"hits": hits}).is_success
        installation.wait_until_idle()
        alerts = answer_of(admin.get("/api/v1/quality/alerts"))["items"]
        (alert_id,) = {one["alert_id"] for one in alerts}
    wish = {"purpose": f"To see {mark('foraaa')} at work.", "data_wanted": f"All of {mark('foraaa')}."}
    with client_of(installation, STEWARD_A) as steward:
        order = {"dataset_id": ids["foraaa"], **wish}
        request = answer_of(steward.post("/api/v1/sharing-requests", json=order), 201)
        installation.wait_until_idle()
        item_id = answer_of(steward.get("/api/v1/inbox"))["items"][0]["id"]
    return Field(installation, ids, alert_id, request["request_id"], item_id, harvest_id)


def harvest(admin: httpx.Client, records: list[dict[str, Any]], source: str = "planted") -> dict[str, Any]:
    parameters = {"source": source, "wait": "true", "confirm": "true"}
    answer = answer_of(admin.post("/api/v1/harvests", params=parameters, json={"dataset": records}))
    assert answer["status"] == "completed", answer
    return dict(answer)


def readable_addresses(field: Field) -> list[str]:
    """Every address that the API offers for reading and every page, with the ids of hidden things in them."""
    with field.installation.client() as admin:
        paths = answer_of(admin.get("/api/v1/openapi.json"))["paths"]
    offered = {path for path, methods in paths.items() if "get" in methods}
    assert len(offered) > 20
    offered |= {
        "/",
        "/search",
        "/datasets",
        "/datasets/{dataset_id}",
        "/datasets/{dataset_id}/changes.atom",
        "/datasets/{dataset_id}/get/0",
        "/quality",
        "/harvests",
        "/harvests/{harvest_id}",
        "/harvests/{harvest_id}/progress",
        "/inbox",
        "/inbox/{item_id}",
        "/ops",
        "/ops/dead-letters",
        "/ops/paths/{correlation_id}",
        "/sharing-requests",
        "/sharing-requests/new?dataset={dataset_id}",
        "/sharing-requests/{request_id}",
        "/directory/publishers",
        "/docs",
        "/data.json",
        "/metrics",
        "/demo",
        "/sample/files/quokka.csv",
    }
    known = {
        "alert_id": [field.alert_id],
        "request_id": [field.request_id],
        "item_id": [field.item_id, field.alert_id],
        "harvest_id": [field.harvest_id],
        "dataset_id": [field.ids[name] for name in HIDDEN],
    }
    addresses = []
    for path in sorted(offered):
        names = re.findall(r"{(\w+)}", path)
        values = known.get(names[0], [str(uuid4())]) if names else [""]
        addresses += [re.sub(r"{\w+}", value, path) for value in values]
    return [one for one in addresses if "stream" not in one]


def assert_untold(text: str, secrets: set[str], where: str) -> None:
    told = {secret for secret in secrets if secret in text.lower()}
    assert not told, f"{where} tells of {told}"


@pytest.mark.parametrize("who", ATTACKERS)
def test_no_address_tells_of_a_record_that_is_hidden_from_its_reader(field: Field, who: str) -> None:
    email, hidden = ATTACKERS[who]
    secrets = field.secrets(hidden)
    ids = {field.ids[name] for name in hidden}
    with field.attacker(email) as attacker:
        for address in readable_addresses(field):
            for accept in ("application/json", "text/html"):
                answer = attacker.get(address, headers={"Accept": accept})
                assert answer.status_code < 500, f"{address}: {answer.text}"
                told = answer.text + str(dict(answer.headers))
                assert_untold(told, secrets, f"{address} ({answer.status_code})")
                assert_untold(told.replace(address, ""), ids - set(re.split(r"[/=]", address)), address)


@pytest.mark.parametrize("who", ATTACKERS)
def test_no_search_total_facet_order_or_suggestion_tells_of_it_either(field: Field, who: str) -> None:
    email, hidden = ATTACKERS[who]
    secrets = field.secrets(hidden)
    seen = 1 + len(set(HIDDEN) - {"forret"} - hidden)
    with field.attacker(email) as attacker, field.installation.client() as admin:
        for sort in ("relevance", "title", "modified"):
            found = answer_of(attacker.get("/api/v1/datasets", params={"q": "quokka", "sort": sort}))
            assert found["total"] == seen
            assert_untold(json.dumps(found), secrets, sort)
        for name in hidden:
            word = f"wombat{name}"
            for parameters in ({"q": word}, {"q": f'"{word}"'}, {"q": f"{word[:-1]}x"}, {"q": "wombat*"}):
                found = answer_of(attacker.get("/api/v1/datasets", params=parameters))
                assert_untold(json.dumps(found), secrets, str(parameters))
            assert answer_of(attacker.get("/api/v1/datasets", params={"q": word}))["total"] == 0
            # What only hidden records have is answered like what no record has.
            for asked in (f"{mark(name)} theme", "what nobody has"):
                refused = attacker.get("/api/v1/datasets", params={"theme": asked})
                assert refused.status_code == 422, asked
                assert_untold(refused.text.replace(asked, ""), secrets, "themes")
            for asked in (f"{mark(name)}-keyword", "what nobody has"):
                assert answer_of(attacker.get("/api/v1/datasets", params={"keyword": asked}))["total"] == 0
            told = attacker.get("/api/v1/datasets/suggest", params={"prefix": mark(name)[:8]}).text
            assert_untold(told, secrets, "suggestions")
        page = answer_of(admin.get("/api/v1/datasets", params={"q": "quokka", "limit": 1, "sort": "title"}))
        stolen = {"q": "quokka", "limit": 1, "sort": "title", "cursor": page["next_cursor"]}
        assert_untold(attacker.get("/api/v1/datasets", params=stolen).text, secrets, "a cursor of the admin")
        top = answer_of(
            attacker.get("/api/v1/usage/report", params={"from": "2026-01-10", "to": "2026-01-10"})
        )
        assert len(top["items"]) == seen
        quality = answer_of(attacker.get("/api/v1/quality/summary"))
        assert sum(one["datasets"] for one in quality["agencies"]) == seen
        agencies = answer_of(attacker.get("/api/v1/agencies"))["items"]
        assert sum(one["datasets"] for one in agencies) <= seen


def test_the_stream_of_events_tells_of_open_records_only(field: Field) -> None:
    lines: list[str] = []
    with (
        field.attacker(None) as visitor,
        visitor.stream("GET", "/api/v1/events", headers={"Accept": "text/event-stream"}) as stream,
    ):
        for line in stream.iter_lines():
            lines.append(line)
            if "Quokka counts" in line:
                break
        rest = answer_of(visitor.get("/api/v1/events", params={"limit": 500}))["events"]
    assert {one["subject"].split("/")[0] for one in rest} == {field.ids["open"]}
    assert_untold("\n".join(lines) + json.dumps(rest), field.secrets(set(HIDDEN)), "the events")


def unlike(answer: httpx.Response) -> tuple[int, object, list[str]]:
    """What may tell one answer from another: status, body without its own ids, and names of headers."""
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "ID", answer.text)
    # Sealed for the dataset that was asked for, so two of them have two.
    body = re.sub(r'"next_cursor":"[\w-]+"', "CURSOR", body)
    return answer.status_code, body, sorted(answer.headers)


@pytest.mark.parametrize("who", ["anybody", "requester"])
def test_hidden_and_unknown_are_answered_alike_by_every_method(field: Field, who: str) -> None:
    email, hidden = ATTACKERS[who]
    wish = {"purpose": "To look behind the curtain.", "data_wanted": "Everything there is."}
    with field.attacker(email) as attacker, field.installation.client() as admin:
        for name in sorted(hidden):
            hidden_id, unknown_id = field.ids[name], str(uuid4())
            etag = admin.get(f"/api/v1/datasets/{hidden_id}").headers.get("etag", '"x"')

            def both(
                method: str,
                path: str,
                *,
                pair: tuple[str, str] = (hidden_id, unknown_id),
                **content: Any,
            ) -> None:
                answers = [
                    attacker.request(
                        method,
                        path.format(one),
                        **{
                            key: json.loads(json.dumps(value).replace("DATASET", one))
                            for key, value in content.items()
                        },
                    )
                    for one in pair
                ]
                assert unlike(answers[0]) == unlike(answers[1]), f"{method} {path}"

            for method in ("GET", "HEAD", "OPTIONS"):
                for path in ("/api/v1/datasets/{}", "/datasets/{}", "/api/v1/datasets/{}/dcat"):
                    both(method, path)
            for path in (
                "/api/v1/usage/datasets/{}",
                "/api/v1/quality/datasets/{}",
                "/datasets/{}/get/0",
                "/datasets/{}/changes.atom",
                "/sharing-requests/new?dataset={}",
                "/api/v1/events?dataset={}",
            ):
                both("GET", path)
            both("GET", "/api/v1/datasets/{}", headers={"If-None-Match": etag})
            both("PATCH", "/api/v1/datasets/{}", headers={"If-Match": etag}, json={"visibility": "public"})
            both("POST", "/api/v1/quality/datasets/{}/measure")
            both("POST", "/api/v1/quality/datasets/{}/baseline")
            both("POST", "/api/v1/sharing-requests", json={"dataset_id": "DATASET", **wish})
            both("POST", "/api/v1/usage/hits", json={"dataset_id": "DATASET", "kind": "view"})
        for path in ("/api/v1/sharing-requests/{}", "/api/v1/inbox/{}", "/api/v1/quality/alerts/{}"):
            for one in (field.request_id, field.alert_id, field.item_id):
                answers = [attacker.get(path.format(each)) for each in (one, str(uuid4()))]
                assert unlike(answers[0]) == unlike(answers[1]), path


def test_the_tag_of_the_public_export_does_not_move_with_a_hidden_record(field: Field) -> None:
    with field.attacker(None) as visitor, field.installation.client() as admin:
        before = visitor.get("/data.json")
        changed = planted("forgov", description="Another text.")
        harvest(admin, [PUBLIC, changed, planted("foraaa"), planted("forbbb")])
        field.installation.wait_until_idle()
        after = visitor.get("/data.json", headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 304
        assert len(visitor.get("/data.json").json()["dataset"]) == 1


def forged(token: str) -> list[str]:
    """Tokens that nobody issued, made from one that somebody did."""
    head, _, rest = token.partition(".")
    body, _, signature = rest.rpartition(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    turned = signature[:-4] + ("AAAA" if not signature.endswith("AAAA") else "BBBB")
    return [
        f"{head}.{body}.{turned}",
        f"{head}.{body}.",
        f"{unsigned}.{body}.",
        f"{token}x",
        token[:-1],
        "null",
        "x" * 5_000,
    ]


def test_forged_tokens_and_cursors_open_nothing(field: Field) -> None:
    for token in forged(field.installation.admin_token):
        with field.installation.client(token) as intruder:
            assert intruder.get("/api/v1/ops/status").status_code in {401, 431}, token[:40]
            assert intruder.get("/api/v1/datasets").status_code in {200, 401, 431}
    with field.installation.client() as admin:
        page = answer_of(admin.get("/api/v1/datasets", params={"q": "quokka", "limit": 1}))
        cursor = page["next_cursor"]
    with field.attacker(None) as visitor:
        for bad in (cursor[:-2] + "zz", cursor[::-1], "e30", "A" * 3_000, "../../etc/passwd"):
            for path in ("/api/v1/datasets", "/api/v1/usage/report", "/api/v1/events"):
                answer = visitor.get(path, params={"q": "quokka", "cursor": bad})
                assert answer.status_code in {400, 414, 422}, f"{path} {bad[:20]}: {answer.status_code}"
        other = visitor.get("/api/v1/datasets", params={"q": "another question", "cursor": cursor})
        assert other.status_code in {400, 422}


def test_a_form_from_elsewhere_does_nothing(field: Field) -> None:
    with client_of(field.installation, STEWARD_A) as steward:
        token = steward.headers.pop("Authorization").removeprefix("Bearer ")
        signed_in = steward.post("/sign-in", data={"token": token, "next": "/inbox"})
        assert signed_in.status_code == 303, signed_in.text
        assert steward.get("/inbox", headers={"Accept": "text/html"}).status_code == 200
        path = f"/inbox/{field.alert_id}/acknowledge"
        assert steward.post(path).status_code == 403
        assert steward.post(path, data={"csrf_token": "0" * 80}).status_code == 403
        elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        page = steward.get("/inbox").text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found is not None
        assert steward.post(path, data={"csrf_token": found[1]}, headers=elsewhere).status_code == 403
        assert (
            steward.post(f"/api/v1/inbox/{field.alert_id}/acknowledge", headers=elsewhere).status_code == 403
        )


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "\\\\evil",
    ],
)
def test_signing_in_leads_nowhere_else(field: Field, address: str) -> None:
    with field.installation.client("") as visitor:
        token = field.installation.admin_token
        answer = visitor.post("/sign-in", data={"token": token, "next": address})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        assert "evil" not in visitor.get("/sign-in", params={"next": address}).text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../admin-token",
        "/static/%2e%2e/%2e%2e/admin-token",
        "/static/..%2f..%2fadmin-token",
        "/static/....//admin-token",
        "/sample/files/..%2f..%2fadmin-token",
        "/sample/files/%2e%2e%2fsigning-key.csv",
        "/datasets/..%2f..%2fadmin-token",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_path_leads_to_a_file_of_the_data_directory(field: Field, path: str) -> None:
    with field.attacker(None) as visitor:
        answer = visitor.get(path)
        assert answer.status_code in {400, 404, 422}
        assert field.installation.admin_token not in answer.text
        assert "root:" not in answer.text


def test_followers_of_a_public_record_are_told_that_it_was_withdrawn_and_nothing_of_what_it_became(
    field: Field,
) -> None:
    record = PUBLIC | {"identifier": "id-turned", "title": "Numbat counts", "description": "Numbats."}
    secret = mark("turned")
    with field.attacker(None) as visitor, field.installation.client() as admin:
        harvest(admin, [record], source="turning")
        field.installation.wait_until_idle()
        page = answer_of(visitor.get("/api/v1/events", params={"limit": 500}))
        dataset_id = next(one["subject"] for one in page["events"] if "Numbat" in json.dumps(one))
        turned = (
            f"identifier,agency_code,steward_email,access_level,visibility\nid-turned,A,{STEWARD_A},,agency\n"
        )
        answer_of(admin.post("/api/v1/directory/imports/stewardships", content=turned.encode()))
        harvest(admin, [record | {"title": secret, "description": secret}], source="turning")
        field.installation.wait_until_idle()
        news = visitor.get("/api/v1/events", params={"limit": 500, "cursor": page["next_cursor"]})
        (gone,) = answer_of(news)["events"]
        assert gone["type"] == "nutmeg.catalog.dataset.withdrawn.v1"
        assert gone["subject"] == dataset_id
        assert "data" not in gone
        whole = visitor.get("/api/v1/events", params={"limit": 500}).text
        assert "Numbat" not in whole
        assert_untold(whole, {secret}, "the events")
        by_dataset = answer_of(visitor.get("/api/v1/events", params={"dataset": dataset_id}))["events"]
        assert [one["id"] for one in by_dataset] == [gone["id"]]
