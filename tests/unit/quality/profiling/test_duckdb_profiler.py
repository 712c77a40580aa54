"""The profiler on every kind of file that portals serve, well made and not."""

import csv
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio

from services.quality.profiling.domain.files import ProfileLimits, UnreadableDataError
from services.quality.profiling.domain.profile import Profile
from services.quality.profiling.duckdb.profiler import DuckDBProfiler
from shared.clock import SimulatedClock

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*|0?\.\d+|0\.\d+|[1-9]\d*\.\d*)([eE][+-]?\d+)?")


@pytest_asyncio.fixture
async def profiler(clock: SimulatedClock) -> AsyncIterator[DuckDBProfiler]:
    profiler = DuckDBProfiler(clock=clock)
    yield profiler
    await profiler.close()


def types(profile: Profile) -> dict[str, str]:
    return {column.name: column.type for column in profile.columns}


async def test_a_plain_file_is_counted_typed_and_fingerprinted(
    profiler: DuckDBProfiler, tmp_path: Path
) -> None:
    content = (
        b"id,town,rate,on,seen,open,at\n"
        b"1,Avon,1.5,2026-01-02,2026-01-02 03:04:05,true,10:20:30\n"
        b"2,,2,2026-01-03,2026-01-03 03:04:05,false,11:20:30\n"
        b"3,  ,4,2026-01-04,,true,12:20:30\n"
    )
    path = tmp_path / "plain.csv"
    path.write_bytes(content)
    profile = await profiler.profile(path, "text/csv")
    assert (profile.row_count, profile.column_count, profile.sampled) == (3, 7, False)
    assert (profile.size_bytes, profile.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert types(profile) == {
        "id": "integer",
        "town": "string",
        "rate": "number",
        "on": "date",
        "seen": "datetime",
        "open": "boolean",
        "at": "time",
    }
    town = profile.column("town")
    assert town is not None
    assert (town.null_count, town.blank_count, town.distinct_estimate, town.examples) == (1, 1, 1, ("Avon",))
    rate = profile.column("rate")
    assert rate is not None
    assert (rate.minimum, rate.maximum, rate.mean) == ("1.5", "4.0", 2.5)
    seen = profile.column("seen")
    assert seen is not None
    assert seen.maximum == "2026-01-03T03:04:05"
    assert profile.preview[1] == ("2", None, "2", "2026-01-03", "2026-01-03 03:04:05", "false", "11:20:30")


WRITINGS = [
    ("comma", b"a,b\n1,2\n3,4\n"),
    ("semicolon", b"a;b\n1;2\n3;4\n"),
    ("tab", b"a\tb\n1\t2\n3\t4\n"),
    ("pipe", b"a|b\n1|2\n3|4\n"),
    ("windows lines", b"a,b\r\n1,2\r\n3,4\r\n"),
    ("old mac lines", b"a,b\r1,2\r3,4\r"),
    ("no last newline", b"a,b\n1,2\n3,4"),
    ("utf-8 with a mark", b"\xef\xbb\xbfa,b\n1,2\n3,4\n"),
    ("utf-16", "a,b\n1,2\n3,4\n".encode("utf-16")),
    ("lines of both kinds", b"a,b\r\n1,2\n3,4\r\n"),
    ("utf-16 without a mark", "a,b\n1,2\n3,4\n".encode("utf-16-le")),
    ("gzip", gzip.compress(b"a,b\n1,2\n3,4\n")),
    ("a preamble", b"Report of 2020\n\na,b\n1,2\n3,4\n"),
    ("json", b'[{"a": 1, "b": 2}, {"a": 3, "b": 4}]'),
    ("json lines", b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'),
    ("gzipped json", gzip.compress(b'[{"a": 1, "b": 2}, {"a": 3, "b": 4}]')),
]


@pytest.mark.parametrize(("writing", "content"), WRITINGS, ids=[name for name, _ in WRITINGS])
async def test_the_same_table_is_read_however_it_is_written(
    profiler: DuckDBProfiler, writing: str, content: bytes
) -> None:
    profile = await profiler.profile(content, "text/csv")
    assert (profile.row_count, types(profile)) == (2, {"a": "integer", "b": "integer"})
    assert [(column.minimum, column.maximum) for column in profile.columns] == [("1", "3"), ("2", "4")]


async def test_parquet_is_read(profiler: DuckDBProfiler, tmp_path: Path) -> None:
    path = tmp_path / "towns.parquet"
    connection = duckdb.connect(":memory:")
    connection.execute(
        "COPY (SELECT 1 AS id, 'Avon' AS town, DATE '2026-01-01' AS day, [1] AS parts, {'a': 1} AS inner) "
        f"TO '{path}' (FORMAT parquet)"
    )
    connection.close()
    profile = await profiler.profile(path, None)
    assert (profile.format, profile.row_count) == ("parquet", 1)
    assert list(types(profile).values()) == ["integer", "string", "date", "array", "object"]


async def test_letters_of_windows_are_read_as_they_were_written(profiler: DuckDBProfiler) -> None:
    text = "town,note\nCafé,it’s “fine”\n"
    profile = await profiler.profile(text.encode("cp1252"), "text/csv")
    assert profile.encoding == "cp1252"
    assert profile.preview == (("Café", "it’s “fine”"),)


async def test_quotes_commas_and_line_breaks_inside_cells_are_kept(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b'a,b\n"x, ""y""\nz",1\n"q",2\n', "text/csv")
    assert profile.preview == (('x, "y"\nz', "1"), ("q", "2"))


async def test_a_file_beyond_the_strict_rules_of_csv_is_still_read(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b'1,"x"y\r\n2,z\n3,"q"\r\n', "text/csv")
    assert profile.row_count + profile.rejected_row_count == 3


async def test_rows_with_a_wrong_number_of_cells_are_counted_and_the_rest_is_read(
    profiler: DuckDBProfiler,
) -> None:
    good = b"".join(b"%d,%d,%d\n" % (n, n, n) for n in range(100))
    profile = await profiler.profile(b"a,b,c\n1,2,3\n4,5\n6,7,8,9\n" + good, "text/csv")
    assert (profile.row_count, profile.rejected_row_count, profile.column_count) == (101, 2, 3)


@pytest.mark.parametrize("content", [b"", b"\n\n \n", "".encode("utf-16"), gzip.compress(b"", mtime=0)])
async def test_an_empty_file_has_no_rows_and_no_columns(profiler: DuckDBProfiler, content: bytes) -> None:
    profile = await profiler.profile(content, "text/csv")
    assert (profile.row_count, profile.column_count, profile.columns) == (0, 0, ())
    assert profile.filled_rate is None


async def test_a_lone_header_gives_columns_and_no_rows(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"town,year,count\n", "text/csv")
    assert (profile.row_count, list(types(profile))) == (0, ["town", "year", "count"])


async def test_a_file_without_a_header_keeps_its_first_row(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"1,2,3\n4,5,6\n", "text/csv")
    assert (profile.row_count, profile.has_header) == (2, False)


async def test_years_as_column_names_are_a_header(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"Town,2011,2012\nAvon,1,2\nBolton,3,4\n", "text/csv")
    assert (profile.row_count, types(profile)) == (
        2,
        {"Town": "string", "2011": "integer", "2012": "integer"},
    )


async def test_columns_of_one_name_are_told_apart(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"a,a,b\n1,2,3\n", "text/csv")
    assert len({column.name for column in profile.columns}) == 3


async def test_codes_with_leading_zeros_stay_text_even_if_they_begin_late(profiler: DuckDBProfiler) -> None:
    rows = b"".join(b"%d\n" % (10_000 + n) for n in range(30_000))
    profile = await profiler.profile(b"zip\n" + rows + b"06103\n", "text/csv")
    assert types(profile) == {"zip": "string"}


async def test_a_type_holds_only_if_it_fits_every_value(profiler: DuckDBProfiler) -> None:
    rows = b"".join(b"%d,%d,2026-01-01\n" % (n, n) for n in range(1, 30_000))
    profile = await profiler.profile(b"n,m,d\n" + rows + b"1.5,none,2026-01-01 10:00:00\n", "text/csv")
    assert types(profile) == {"n": "number", "m": "string", "d": "datetime"}
    assert profile.row_count == 30_000


@pytest.mark.parametrize(
    ("cells", "kind", "maximum"),
    [
        (("6/28/2014 0:00", "12/1/2014 13:30"), "datetime", "2014-12-01T13:30:00"),
        (("28/6/2014 0:00", "1/12/2014 13:30"), "datetime", "2014-12-01T13:30:00"),
        (("06/28/2014 01:00:00 PM", "12/01/2014 12:00:00 AM"), "datetime", "2014-12-01T00:00:00"),
        (("6/28/2014", "12/1/2014"), "date", "2014-12-01"),
    ],
)
async def test_dates_with_slashes_are_dates(
    profiler: DuckDBProfiler, cells: tuple[str, str], kind: str, maximum: str
) -> None:
    profile = await profiler.profile(f"when,x\n{cells[0]},a\n,b\n{cells[1]},c\n".encode(), "text/csv")
    when = profile.columns[0]
    assert (when.type, when.null_count, when.maximum) == (kind, 1, maximum)


async def test_a_number_that_is_not_finite_spoils_neither_range_nor_mean(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"x\n1.5\nNaN\ninf\n2.5\n", "text/csv")
    x = profile.columns[0]
    assert (x.type, x.minimum, x.maximum, x.mean) == ("number", "1.5", "2.5", 2.0)


async def test_the_commonest_values_of_text_are_counted_and_numbers_keep_their_range(
    profiler: DuckDBProfiler,
) -> None:
    towns = b"".join(b"%s,%d,true\n" % (town, n) for town in (b"Avon", b"Berlin", b"") for n in range(7))
    profile = await profiler.profile(b"town,n,open\n" + towns + b"Berlin,9,false\n", "text/csv")
    town, number, is_open = profile.columns
    assert [(one.value, one.rows) for one in town.commonest] == [("Berlin", 8), ("Avon", 7)]
    assert (town.distinct_estimate, town.span) == (2, (None, None))
    assert (number.span, number.commonest) == (("0", "9"), ())
    assert [(one.value, one.rows) for one in is_open.commonest] == [("true", 21), ("false", 1)]


async def test_a_text_with_very_many_different_values_has_no_commonest(profiler: DuckDBProfiler) -> None:
    rows = b"".join(b"code-%d\n" % number for number in range(3_000))
    column = (await profiler.profile(b"code\n" + rows, "text/csv")).columns[0]
    assert column.commonest == ()
    assert column.distinct_estimate > 2_000


async def test_values_are_bounded_however_long_they_are(profiler: DuckDBProfiler) -> None:
    profile = await profiler.profile(b"a,b\n" + b"x" * 100_000 + b",1\ny,2\n", "text/csv")
    a = profile.columns[0]
    kept = [a.minimum, a.maximum, *a.examples, *(row[0] for row in profile.preview)]
    assert {len(text) <= 120 for text in kept if text is not None} == {True}


async def test_a_sample_is_marked_and_the_rows_are_still_all_counted(profiler: DuckDBProfiler) -> None:
    content = b"n\n" + b"".join(b"%d\n" % n for n in range(5_000))
    profile = await profiler.profile(content, "text/csv", ProfileLimits(rows_max=1_000))
    assert (profile.row_count, profile.measured_row_count, profile.sampled) == (5_000, 1_000, True)
    assert profile.columns[0].maximum == "999"


async def test_a_very_wide_file_is_bounded_and_its_columns_are_still_counted(
    profiler: DuckDBProfiler,
) -> None:
    header = ",".join(f"c{n}" for n in range(1_500))
    row = ",".join("1" for _ in range(1_500))
    profile = await profiler.profile(f"{header}\n{row}\n".encode(), None, ProfileLimits(columns_max=50))
    assert (profile.column_count, len(profile.columns), len(profile.preview[0])) == (1_500, 50, 50)


REFUSED = [
    ("a web page", b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    ("a workbook", b"PK\x03\x04" + b"\0" * 100, "Excel"),
    ("a pdf", b"%PDF-1.7 ...", "PDF"),
    ("xml", b'<?xml version="1.0"?><a/>', "XML"),
    ("rubbish", bytes(range(256)) * 40, "binary"),
    ("damaged gzip", gzip.compress(b"a,b\n1,2\n" * 1000)[:-30], "damaged gzip"),
    ("broken json", b'[{"a": 1, "b": ', "cannot be read"),
    ("broken parquet", b"PAR1" + b"\0" * 50, "cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "words"), REFUSED, ids=[name for name, _, _ in REFUSED])
async def test_what_is_not_a_table_is_refused_with_a_reason(
    profiler: DuckDBProfiler, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(UnreadableDataError, match=words) as raised:
        await profiler.profile(content, "text/csv")
    assert "nutmeg-profile" not in str(raised.value)


async def test_a_refused_file_does_not_spoil_the_next_one(profiler: DuckDBProfiler) -> None:
    with pytest.raises(UnreadableDataError):
        await profiler.profile(b"%PDF", None)
    assert (await profiler.profile(b"a,b\n1,2\n", None)).row_count == 1


async def test_a_file_above_the_size_limit_is_refused_also_when_only_its_content_is(
    profiler: DuckDBProfiler,
) -> None:
    limits = ProfileLimits(size_bytes_max=10_000)
    with pytest.raises(UnreadableDataError, match="larger than the 10,000 bytes"):
        await profiler.profile(b"a\n" + b"1\n" * 10_000, None, limits)
    with pytest.raises(UnreadableDataError, match="when decompressed"):
        await profiler.profile(gzip.compress(b"a\n" + b"1\n" * 1_000_000), None, limits)


async def test_a_missing_file_is_refused_by_name(profiler: DuckDBProfiler, tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataError, match=r"no file at .*absent\.csv"):
        await profiler.profile(tmp_path / "absent.csv", None)


async def test_a_name_full_of_patterns_and_quotes_is_only_a_name(
    profiler: DuckDBProfiler, tmp_path: Path
) -> None:
    path = tmp_path / "it's [a] *?.csv"
    path.write_bytes(b"a,b\n1,2\n")
    (tmp_path / "it's a other.csv").write_bytes(b"a,b\n1,2\n")
    assert (await profiler.profile(path, "text/csv")).row_count == 1


async def test_names_of_columns_are_data_and_never_statements(profiler: DuckDBProfiler) -> None:
    name = "x\"); DROP TABLE measured; --'"
    content = json.dumps([{name: 1, "a.b": "t"}]).encode()
    assert list(types(await profiler.profile(content, "application/json"))) == [name, "a.b"]


async def test_the_time_of_a_profile_is_that_of_the_clock(
    profiler: DuckDBProfiler, clock: SimulatedClock
) -> None:
    before = clock.now()
    profile = await profiler.profile(b"a\n1\n", None)
    assert before <= profile.profiled_at <= clock.now()


async def test_the_real_file_has_the_rows_and_empty_cells_that_the_csv_module_counts(
    profiler: DuckDBProfiler, real_data: Path
) -> None:
    path = real_data / "ct" / "files" / "accidental-drug-related-deaths-2012-2018.csv"
    with path.open(newline="", encoding="utf-8") as lines:
        header, *rows = csv.reader(lines)
    empty = {name: sum(1 for row in rows if row[position] == "") for position, name in enumerate(header)}
    blank = {
        name: sum(1 for row in rows if row[position] and not row[position].strip())
        for position, name in enumerate(header)
    }
    profile = await profiler.profile(path, "text/csv")
    assert profile.row_count == len(rows) == 5_105
    assert {column.name: column.null_count for column in profile.columns} == empty
    assert {column.name: column.blank_count for column in profile.columns} == blank
    assert types(profile)["Date"] == "datetime"
    age = profile.column("Age")
    assert age is not None
    ages = [int(row[header.index("Age")]) for row in rows if row[header.index("Age")]]
    assert (age.minimum, age.maximum) == (str(min(ages)), str(max(ages)))
    assert age.mean == pytest.approx(sum(ages) / len(ages))


async def test_every_real_file_is_read_with_the_rows_and_names_that_the_csv_module_reads(
    profiler: DuckDBProfiler, real_data: Path
) -> None:
    different = {}
    paths = sorted((real_data / "ct" / "rows").glob("*.csv"))
    for path in paths:
        with path.open(newline="", encoding="utf-8") as lines:
            header, *rows = csv.reader(lines)
        profile = await profiler.profile(path, "text/csv")
        found = (profile.row_count, profile.rejected_row_count, list(types(profile)))
        if found != (len(rows), 0, header):
            different[path.name] = found
    assert different == {}
    assert len(paths) == 307


async def test_numbers_are_recognised_in_real_files_exactly_where_every_value_is_one(
    profiler: DuckDBProfiler, real_data: Path
) -> None:
    disagreeing, numeric_count = [], 0
    for path in sorted((real_data / "ct" / "rows").glob("*.csv"))[:40]:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        profile = await profiler.profile(path, "text/csv")
        for column in profile.columns:
            values = [row[column.name].strip() for row in rows if row[column.name].strip()]
            numeric = bool(values) and all(NUMBER.fullmatch(value) for value in values)
            numeric_count += numeric
            if numeric != (column.type in ("integer", "number")):
                disagreeing.append((path.name, column.name, column.type, values[:5]))
    assert disagreeing == []
    assert numeric_count > 100
