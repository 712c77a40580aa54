"""A person's data leaves as JSON: their own for themselves, anybody's for those who administer."""

from uuid import UUID, uuid4

import pytest

from services.governance.commands.sharing import ask_for_data
from services.governance.domain.auditing import DirectoryAct
from services.governance.domain.redaction import REDACTED, redact_request, without_words
from services.governance.domain.sharing import NewRequest, submit
from shared.clock import SimulatedClock
from shared.identity.viewer import TokenScope
from tests.support.governance_desk import DATASET, Desk


async def test_one_s_own_data_is_complete_and_of_nobody_else(desk: Desk) -> None:
    requester = desk.people["requester"]
    async with desk.governance.service.store.unit_of_work() as work:
        for who in (requester, desk.people["steward"]):
            await ask_for_data(
                work,
                desk.governance.ports,
                NewRequest(f"asked by {who}", "2024"),
                dataset_id=DATASET,
                dataset_title="Outcomes",
                agency_id=None,
                requester_id=who,
            )
    browser = await desk.browser("requester")
    page = await browser.get("/directory/your-data")
    assert 'href="/api/v1/directory/me/data"' in page.text
    answer = await browser.get("/api/v1/directory/me/data")
    assert answer.headers["cache-control"] == "no-store"
    assert "attachment" in answer.headers["content-disposition"]
    data = answer.json()
    assert data["person"]["email"] == "requester@example.gov"
    assert data["grants"] == [{"role": "requester", "agency": "*"}]
    assert [one["purpose"] for one in data["requests"]] == [f"asked by {requester}"]
    assert [one["action"] for one in data["steps"]] == ["submit"]
    assert [one["label"] for one in data["tokens"]] == ["test"]
    assert [one["act"] for one in data["access_log"]] == ["granted"]
    assert "steward@example.gov" not in answer.text
    assert (await desk.audit())[0].act is DirectoryAct.DATA_EXPORTED


@pytest.mark.parametrize(
    ("who", "status"),
    [("requester", 403), ("steward", 403), ("officer", 403), ("chief", 200), ("operator", 200)],
)
async def test_anybody_s_data_is_for_those_who_administer(desk: Desk, who: str, status: int) -> None:
    path = f"/api/v1/directory/people/{desk.people['steward']}/data"
    answer = await desk.client.get(path, headers=await desk.bearer(who))
    assert answer.status_code == status
    assert ("steward@example.gov" in answer.text) is (status == 200)
    unknown = await desk.client.get(
        f"/api/v1/directory/people/{uuid4()}/data", headers=await desk.bearer("chief")
    )
    assert unknown.status_code == 404
    program = await desk.bearer("program", list(TokenScope))
    assert (await desk.client.get("/api/v1/directory/me/data", headers=program)).status_code == 403


def test_words_go_in_whatever_letters_and_the_rest_stays(clock: SimulatedClock) -> None:
    words = ["Ada Reed", "ada@example.gov"]
    assert without_words("Ask ADA REED or Ada@Example.gov.", words) == f"Ask {REDACTED} or {REDACTED}."
    assert without_words("Ask a.reed.", words) == "Ask a.reed."
    assert without_words(None, words) is None
    own, other = uuid4(), uuid4()
    request = submit(
        NewRequest("For Ada Reed's study", "All", None, "A year"),
        request_id=UUID(int=1),
        dataset_id=DATASET,
        dataset_title="Outcomes",
        agency_id=None,
        requester_id=own,
        now=clock.now(),
    )
    left = redact_request(request, own, words)
    assert (left.content.purpose, left.content.legal_basis, left.content.retention) == (
        REDACTED,
        None,
        REDACTED,
    )
    assert left.version == request.version + 1
    assert redact_request(request, other, words).content.data_wanted == "All"
    assert redact_request(request, other, ["Nobody Else"]) is request
