"""Tokens and the key that signs them."""

import base64
import json
import stat
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import SimulatedClock
from shared.identity.signing_key import SigningKey, SigningKeyError
from shared.identity.tokens import AuthenticationError, Tokens

PERSON = UUID("6a4b1c4e-2222-4d5e-9a11-000000000002")
KEY = SigningKey(b"k" * 32)
HOUR = timedelta(hours=1)


def reason_of(tokens: Tokens, token: str) -> str:
    with pytest.raises(AuthenticationError) as caught:
        tokens.verify(token)
    return caught.value.reason


def test_a_token_comes_back_as_what_it_was_issued_for(clock: SimulatedClock) -> None:
    tokens = Tokens(KEY, clock)
    claims = tokens.verify(tokens.issue(PERSON, HOUR))
    assert claims.person_id == PERSON
    assert len(claims.token_id) == 32
    assert timedelta(minutes=59) < claims.expires_at - claims.issued_at <= HOUR


def test_a_token_holds_ids_and_times_and_nothing_else(clock: SimulatedClock) -> None:
    payload = Tokens(KEY, clock).issue(PERSON, HOUR).split(".")[1]
    assert set(json.loads(base64.urlsafe_b64decode(payload + "=="))) == {"sub", "jti", "aud", "iat", "exp"}


def test_a_token_expires_on_the_given_clock(clock: SimulatedClock) -> None:
    tokens = Tokens(KEY, clock)
    token = tokens.issue(PERSON, HOUR)
    clock.advance(timedelta(minutes=59))
    assert tokens.verify(token).person_id == PERSON
    clock.advance(timedelta(minutes=2))
    assert reason_of(tokens, token) == "expired"


def test_a_token_of_another_installation_is_malformed(clock: SimulatedClock) -> None:
    token = Tokens(SigningKey(b"x" * 32), clock).issue(PERSON, HOUR)
    assert reason_of(Tokens(KEY, clock), token) == "malformed"


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_no_other_algorithm_is_taken_even_with_the_right_key(clock: SimulatedClock, algorithm: str) -> None:
    now = clock.now().timestamp()
    claims = {"sub": str(PERSON), "jti": "1", "aud": "nutmeg", "iat": now, "exp": now + 60}
    secret = None if algorithm == "none" else KEY.derive("tokens") * 2
    token = jwt.encode(claims, secret, algorithm=algorithm)  # type: ignore[arg-type]  # "none" takes none
    assert reason_of(Tokens(KEY, clock), token) == "malformed"


@pytest.mark.parametrize("missing", ["sub", "jti", "aud", "iat", "exp"])
def test_a_token_without_one_of_its_claims_is_malformed(clock: SimulatedClock, missing: str) -> None:
    now = clock.now().timestamp()
    claims = {"sub": str(PERSON), "jti": "1", "aud": "nutmeg", "iat": now, "exp": now + 60}
    del claims[missing]
    token = jwt.encode(claims, KEY.derive("tokens"), algorithm="HS256")
    assert reason_of(Tokens(KEY, clock), token) == "malformed"


def test_a_token_from_the_future_is_refused(clock: SimulatedClock) -> None:
    ahead = SimulatedClock(clock.now() + HOUR)
    assert reason_of(Tokens(KEY, clock), Tokens(KEY, ahead).issue(PERSON, HOUR)) == "malformed"


@given(st.text(max_size=300))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    assert reason_of(Tokens(KEY, SimulatedClock()), text) == "malformed"


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=1, max_value=255))
def test_a_token_with_any_character_changed_is_refused(position: int, shift: int) -> None:
    tokens = Tokens(KEY, SimulatedClock())
    token = tokens.issue(PERSON, HOUR)
    position %= len(token) - 1  # the last character also carries bits that no decoder reads
    changed = token[:position] + chr(ord(token[position]) + shift) + token[position + 1 :]
    assert reason_of(tokens, changed) == "malformed"


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=400)])
def test_a_lifetime_outside_a_year_is_refused(clock: SimulatedClock, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="366 days"):
        Tokens(KEY, clock).issue(PERSON, lifetime)


def test_a_key_file_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    first = SigningKey.load_or_create(path)
    second = SigningKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.derive("tokens") == second.derive("tokens")
    assert path.read_text().strip() not in repr(first)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_file_that_others_may_read_or_write_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    SigningKey.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(SigningKeyError, match="chmod 600"):
        SigningKey.load_or_create(path)


@pytest.mark.parametrize("content", ["", "not hex", "abcd"])
def test_a_key_file_without_a_whole_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "signing.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SigningKeyError):
        SigningKey.load_or_create(path)


def test_keys_of_two_purposes_differ() -> None:
    assert KEY.derive("tokens") != KEY.derive("cursors")
