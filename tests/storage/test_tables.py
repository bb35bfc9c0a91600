"""Tables as spreadsheets, pandas, R and Windows write them: one reader, and the same rows from each dialect.

The right values are those that were written, by Python's csv module, gzip or pyarrow: never by what is tested.
"""

from __future__ import annotations

import csv
import gzip
import io
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.errors import InputError
from plainfilm.storage.tables import is_table, read_csv, read_table

HEADER = ["path", "label", "patient"]
ROWS = [["a/1.png", "gesund", "7"], ["a/2,b.png", "Lungenentzündung", "8; 9"], ["a/3.png", "x|y\tz", ""]]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def table(header, rows, separator=",", end="\n", said=False, encoding="utf-8", packed=False) -> bytes:
    text = io.StringIO(newline="")
    text.write(f"sep={separator}{end}" if said else "")
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([header, *rows])
    data = text.getvalue().encode(encoding)
    return gzip.compress(data, mtime=0) if packed else data


def rows_of(data: bytes) -> list[list[str]]:
    header, rows = read_csv("t.csv", data)
    return [header, *([*row.values()] for row in rows)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_dialect_gives_the_same_rows(encoding, separator, packed):
    for end in ("\n", "\r\n", "\r"):
        for said in (False, True):
            data = table(HEADER, ROWS, separator, end, said, encoding, packed)
            assert rows_of(data) == [HEADER, *ROWS]


cells = st.text(string.ascii_letters + string.digits + ' ,;|\t"\n.äß-', max_size=12)


@given(
    st.lists(st.tuples(cells, cells, cells), max_size=30),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_dialects_round_trip(rows, separator, encoding, end, packed):
    rows = [[*row] for row in rows]
    data = table(HEADER, rows, separator, end, False, encoding, packed)
    assert rows_of(data)[1:] == [row for row in rows if any(cell.strip() for cell in row)]


@given(st.lists(st.text("ab;,|\t 0", min_size=1, max_size=6).map(lambda name: f"p_{name}|"), min_size=2, unique=True))
def test_separators_within_the_names_of_classes_are_none(names):
    header = ["path", "label", *(name.strip() for name in names)]
    if len(set(header)) < len(header):
        return
    for separator in ",;\t|":
        data = table(header, [["x", "a", *("0,5" for _ in names)]] * 3, separator)
        assert rows_of(data)[0] == header


def test_short_rows_have_empty_cells_and_empty_rows_are_none():
    """Excel leaves out separators at the end of rows, and writes rows of separators alone behind a table."""
    data = b"path,label,patient,note,,\na.png,x\n,,,,,\n\nb.png,y,7,n,,\nc.png\n  ,,\n"
    header, rows = read_table("t.csv", data)
    assert header == ["path", "label", "patient", "note"]
    assert [(number, *row.values()) for number, row in rows] == [
        (2, "a.png", "x", "", ""),
        (5, "b.png", "y", "7", "n"),
        (6, "c.png", "", "", ""),
    ]


def test_rows_are_counted_as_an_editor_counts_them():
    _, rows = read_table("t.csv", b"sep=;\n\npath;label\na;x\n;\nb;y\n")
    assert [number for number, _ in rows] == [4, 6]
    with pytest.raises(InputError, match="row 5: has more cells than the header has names"):
        read_csv("t.csv", b"sep=;\n\npath;label\na;x\nb;y;z\n")


def test_known_names_are_found_in_capitals_and_others_stay_as_they_are():
    assert read_csv("t.csv", b"\xef\xbb\xbfPath, LABEL ,Patient Age\na,x,3\n")[1] == [
        {"path": "a", "label": "x", "Patient Age": "3"}
    ]
    assert read_csv("t.csv", b"Path,path,label\nno,yes,x\n")[0] == ["Path", "path", "label"]
    assert read_csv("t.csv", b"Image Index;Finding Labels\na;x|y\n")[0] == ["Image Index", "Finding Labels"]


def test_blanks_behind_separators_stand_before_quotes():
    assert read_csv("t.csv", b'path, label\na.png, "x, y"\n')[1] == [{"path": "a.png", "label": "x, y"}]


def test_a_header_in_windows_letters_is_legible():
    assert read_csv("t.csv", "path;label;größe\na;x;3\n".encode("cp1252"))[0] == ["path", "label", "größe"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(b"path,label\na,b\n" * 5_000)[:-40], "can't be read"),
        (b"\x1f\x8b\x08rest", "can't be read"),
        ("path,label\n".encode("utf-16") + b"x", "not a CSV file"),
        (b",,\n1,2,3\n", "is empty"),
        (gzip.compress(b"path,label\n" + b"a" * 2**24), "a line of more characters"),
        (b"path\n" + b"a" * 200_000, "field larger than field limit"),
    ],
)
def test_what_is_no_table_is_one_sentence(data, said):
    with pytest.raises(InputError, match=said):
        read_csv("t.csv", data)


def test_a_packed_table_is_unpacked_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("plainfilm.storage.dialects.MAX_UNPACKED", 10_000)
    with pytest.raises(InputError, match="unpacks to a text of more characters"):
        read_csv("t.csv", gzip.compress(b"path,label\n" + b"a,b\n" * 10_000))


def test_tables_are_known_by_their_names():
    assert all(map(is_table, ("a.csv", "A.TSV", "x/b.csv.gz", "c.tsv.gz", "d.parquet")))
    assert not any(map(is_table, ("a.gz", "csv", "a.csv.txt", "a.png")))
