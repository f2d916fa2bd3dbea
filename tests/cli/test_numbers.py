"""`otpkit numbers` checks a table of users, in its own process. No row is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_process import Ended, otpkit

NO_SETTINGS: dict[str, str] = {}
TABLE = """name,phone
Ada,13900139009
Bob,+8613900139009
"Eve
the second",\u202d138 0013 8000\u202c
Dan,+86 138-0013-8000
Cem,12
Fay,
Gil
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "users.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def rows(done: Ended) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Return the findings and the sum that `--json` printed."""
    lines = [json.loads(line) for line in done.out.splitlines()]
    return lines[:-1], lines[-1]


def test_findings_say_what_each_number_becomes(table: Path) -> None:
    done = otpkit("numbers", str(table), "--column", "phone", env=NO_SETTINGS)
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "line 2: 13900139009 becomes +8613900139009",
        "line 3: +8613900139009 is also in line 2",
        "line 4: \u202d138 0013 8000\u202c becomes +8613800138000",
        "line 6: +86 138-0013-8000 becomes +8613800138000 and is also in line 4",
        "line 7: '12' is not a mobile number: Please enter a valid mobile number.",
        "Rows: 7, as E.164: 1, to change: 3, duplicates: 2, not mobile numbers: 1, empty: 2.",
    ]


def test_json_is_one_object_a_line(table: Path) -> None:
    findings, total = rows(otpkit("numbers", str(table), "--column", "2", "--json", env=NO_SETTINGS))
    assert [finding["line"] for finding in findings] == [2, 3, 4, 6, 7]
    assert findings[3] == {
        "line": 6,
        "value": "+86 138-0013-8000",
        "becomes": "+8613800138000",
        "same_as": 4,
        "problem": "",
    }
    assert total == {"rows": 7, "e164": 1, "to_change": 3, "twice": 2, "not_numbers": 1, "empty": 2}


@pytest.mark.parametrize(
    "text", ["", "phone\n", "+8613900139009\n", "phone\r\n+8613900139009\r\n\r\n", '"+8613900139009"']
)
def test_a_sound_table_ends_with_0(text: str) -> None:
    done = otpkit("numbers", "-", env=NO_SETTINGS, stdin=text)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Rows: ")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_are_divided_by_what_the_first_row_has(delimiter: str) -> None:
    text = delimiter.join(("id", "phone")) + "\n" + delimiter.join(("1", "13900139009")) + "\n"
    findings, _ = rows(otpkit("numbers", "-", "--column", "phone", "--json", env=NO_SETTINGS, stdin=text))
    assert findings[0]["becomes"] == "+8613900139009"


@pytest.mark.parametrize("name", ["phone", "Mobile", "手机号"])
def test_a_column_with_a_usual_name_is_found(name: str) -> None:
    findings, _ = rows(otpkit("numbers", "--json", env=NO_SETTINGS, stdin=f"id,{name}\n1,13900139009\n"))
    assert findings[0]["becomes"] == "+8613900139009"


def test_a_region_reads_national_numbers() -> None:
    findings, _ = rows(otpkit("numbers", "-", "--region", "HK", "--json", env=NO_SETTINGS, stdin="5123 4567\n"))
    assert findings[0]["becomes"] == "+85251234567"


def test_names_in_another_encoding_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes("姓名,phone\n张三,13900139009\n李四,13900139010\n".encode("gb18030"))
    for options in ((), ("--encoding", "gb18030")):
        findings, total = rows(otpkit("numbers", str(path), "--column", "phone", "--json", *options, env=NO_SETTINGS))
        assert (len(findings), total["rows"]) == (2, 2)


def test_many_rows_are_all_counted(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text(
        "phone\n" + "".join(f"+86139{row:08}\n" for row in range(50_000)) + "13900000007\n", encoding="utf-8"
    )
    findings, total = rows(otpkit("numbers", str(path), "--json", env=NO_SETTINGS))
    assert (total["rows"], total["twice"]) == (50_001, 1)
    assert findings == [
        {"line": 50_002, "value": "13900000007", "becomes": "+8613900000007", "same_as": 9, "problem": ""}
    ]


@pytest.mark.parametrize(
    ("arguments", "text", "says"),
    [
        (("/nowhere.csv",), "", "can't be opened"),
        (("-",), "a,b\n1,2\n", "several columns"),
        (("-",), "phone,mobile\n1,2\n", "several columns"),
        (("-", "--column", "phone"), "a,b\n1,2\n", "no column 'phone'"),
        (("-", "--column", "3"), "a,b\n1,2\n", "no column '3'"),
        (("-",), '13900139009\n"13900139010\n13900139011\n', "can't be read from line 2"),
        (("-", "--region", "ZZ"), "1\n", "'ZZ'"),
        (("-", "--encoding", "nope"), "1\n", "can't be opened"),
    ],
)
def test_a_table_that_can_not_be_read_ends_with_2(arguments: tuple[str, ...], text: str, says: str) -> None:
    done = otpkit("numbers", *arguments, env=NO_SETTINGS, stdin=text)
    assert done.status == 2
    assert says in done.err
    assert "Traceback" not in done.err
