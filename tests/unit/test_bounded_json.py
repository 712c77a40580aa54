"""JSON from outside is bounded before anything is built of it, whole or in portions of any size."""

import io
import json
import random

import ijson
import pytest

from shared.bounded_json import (
    TEXT_BYTES_MAX,
    BoundedJSONFile,
    InvalidJSONError,
    JSONBoundError,
    JSONBounds,
    JSONLimits,
    loads,
    read_lines,
)

LIMITS = JSONLimits(bytes_max=8 * 1024 * 1024, elements_max=1_000)
PER_RECORD = JSONLimits(bytes_max=4 * 1024 * 1024, elements_max=1_000, item_depth=2)
TEXTS = ('é"\\', "😀 \n\t", '\\\\"', "\\u0041", "[[[{{{", "}}]]", "")


def in_portions(content: bytes, size: int, limits: JSONLimits = LIMITS) -> bytes:
    """What is passed on of ``content`` that arrives in portions of ``size`` bytes."""
    bounds = JSONBounds(limits)
    return b"".join(bounds.shorten(content[at : at + size]) for at in range(0, len(content), size))


@pytest.mark.parametrize("is_ascii", [True, False])
def test_what_is_within_the_limits_is_passed_on_unchanged_however_it_is_cut_up(*, is_ascii: bool) -> None:
    chance = random.Random(11)
    for _ in range(100):
        document = [chance.choice((*TEXTS, 1.5, None, {"a": ["b"]})) for _ in range(30)]
        content = json.dumps(document, ensure_ascii=is_ascii).encode()
        assert in_portions(content, chance.randint(1, 9)) == content
        assert loads(content, LIMITS) == document


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"dataset":' + b"[" * 100_000, "more than 64 levels"),
        (b'{"a":' * 100, "more than 64 levels"),
        (b'"\\"", [' + b"[" * 64 + b'"\\', "more than 64 levels"),
        (b"[" + b"1," * 1_001, "more than 1,000 values"),
        (b"[" + b"{}," * 600, "more than 1,000 values"),
        (b"[" + b"1" * 5_000, "a number of more than 1,024 characters"),
        ("[[[[".encode("utf-16"), "byte 0"),
    ],
)
def test_what_goes_beyond_a_limit_is_refused_with_the_limit(content: bytes, words: str, size: int) -> None:
    with pytest.raises(JSONBoundError, match=words):
        in_portions(content, size)
    with pytest.raises(JSONBoundError, match=words):
        loads(content, LIMITS)


def test_brackets_within_texts_are_no_levels() -> None:
    assert loads(json.dumps(["[" * 1_000, '\\"[' * 500]).encode(), LIMITS) == ["[" * 1_000, '\\"[' * 500]


def test_sixty_four_levels_are_taken() -> None:
    assert loads(b"[" * 64 + b"]" * 64, LIMITS) is not None


def test_what_is_no_json_is_told_as_such() -> None:
    for content in (b"{", b'"\\uZZZZ"', b"\xff", b""):
        with pytest.raises(InvalidJSONError):
            loads(content, LIMITS)


@pytest.mark.parametrize("character", ["a", "é", "\\n", "\\u0041", "😀"])
def test_of_an_endless_text_only_its_beginning_reaches_the_parser(character: str) -> None:
    size = len(character.encode())
    text = character * (3 * TEXT_BYTES_MAX // size)
    content = f'{{"dataset":[{{"title":"{text}","identifier":"one"}},{{"identifier":"two"}}]}}'.encode()
    passed_on = in_portions(content, 65_536, PER_RECORD)
    assert TEXT_BYTES_MAX <= len(passed_on) <= TEXT_BYTES_MAX + 1_000
    file = BoundedJSONFile(io.BytesIO(content), PER_RECORD)
    long, short = ijson.items(file, "dataset.item", use_float=True)
    assert (long["identifier"], short["identifier"]) == ("one", "two")
    assert set(long["title"]) == {json.loads(f'"{character}"')}
    assert TEXT_BYTES_MAX // size <= len(long["title"]) <= TEXT_BYTES_MAX // size + 1


def test_limits_of_items_begin_anew_with_each_item() -> None:
    item = json.dumps({"keyword": ["word"] * 400}).encode()
    content = b'{"dataset":[' + b",".join([item] * 50) + b"]}"
    assert in_portions(content, 1_000, PER_RECORD) == content
    large = b'{"dataset":[' + item + b',{"keyword":[' + b"1," * 2_000 + b"1]}]}"
    with pytest.raises(JSONBoundError, match="One entry holds more than 1,000 values"):
        in_portions(large, 1_000, PER_RECORD)


def test_lines_are_bounded_each() -> None:
    limits = JSONLimits(bytes_max=100, elements_max=10)
    assert list(read_lines(io.BytesIO(b'{"a": 1}\n[2]\n'), limits)) == [{"a": 1}, [2]]
    with pytest.raises(JSONBoundError, match="larger than 100 bytes"):
        list(read_lines(io.BytesIO(b'"' + b"a" * 1_000_000), limits))
