"""Films with findings and further columns: what a table of them keeps, in a byte per film and finding."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.data.films import (
    FILMS_HEADER,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    UNKNOWN,
    Film,
    Films,
    Table,
    further_columns,
    read_films,
    settled,
    write_films,
)


def no_bytes(path: str, first: int = 0) -> bytes:
    return b""


def film(name: str, findings: dict[str, int] | None = None, **columns: str) -> Film:
    return Film(name, "", no_bytes, findings=findings or {}, columns=columns)


THREE = (
    film("c.png", {"Effusion": POSITIVE, "Edema": UNCERTAIN}, site="Lyon", age="61"),
    film("a.png", {"Effusion": NEGATIVE}, site="Oslo", age=""),
    film("b.png", {"Hernia": POSITIVE}, site="Lyon", age="48", view="AP"),
)


def test_a_film_comes_back_as_it_went_in_and_what_it_lacks_is_unknown():
    table = Table(THREE)
    assert table.findings.names == ("Effusion", "Edema", "Hernia")
    assert table.findings.array.tolist() == [[1, -1, -2], [0, -2, -2], [-2, -2, 1]]
    assert table.findings.array.dtype == np.int8
    assert table[1].findings == {"Effusion": NEGATIVE, "Edema": UNKNOWN, "Hernia": UNKNOWN}
    assert table[0].columns == {"site": "Lyon", "age": "61", "view": ""}
    assert list(table) == [table[0], table[1], table[2]]


def test_films_are_taken_sorted_and_copied_with_all_that_belongs_to_them():
    films = Films(Table(), "set").with_films(THREE)
    assert [(f.path, f.columns["site"], f.findings["Effusion"]) for f in films] == [
        ("a.png", "Oslo", NEGATIVE),
        ("b.png", "Lyon", UNKNOWN),
        ("c.png", "Lyon", POSITIVE),
    ]
    assert films.at([2, 0]).columns["age"].tolist() == ["61", ""]
    assert films.with_parts(["val"] * 3, "stamp")[2].findings["Edema"] == UNCERTAIN
    assert pickle.loads(pickle.dumps(films)).films == films.films == copy.deepcopy(films).films
    assert Table(films.films) == films.films


def test_films_are_had_by_place_slice_and_mask():
    films = Films(Table(), "set").with_films(THREE)
    assert films[0].path == "a.png" and films[-1].path == "c.png"
    assert [f.path for f in films[1:]] == [f.path for f in films[np.array([False, True, True])]] == ["b.png", "c.png"]
    assert [f.path for f in films.head(2)] == ["a.png", "b.png"]
    with pytest.raises(IndexError):
        films[3]


def test_uncertain_cells_count_as_the_user_says_and_unknown_ones_never_do():
    cells = np.array([[1, 0, -1, -2]], np.int8)
    assert settled(cells, "ignore").tolist() == [[1, 0, -1, -2]]
    assert settled(cells, "positive").tolist() == [[1, 0, 1, -2]]
    assert settled(cells, "negative").tolist() == [[1, 0, 0, -2]]


def test_films_csv_holds_findings_and_columns(tmp_path):
    write_films(Films(Table(), "set").with_films(THREE), tmp_path)
    rows = read_films(tmp_path / "films.csv")
    assert list(rows[0]) == [*FILMS_HEADER, "y_Effusion", "y_Edema", "y_Hernia", "site", "age", "view"]
    assert [rows[2][name] for name in ("path", "y_Effusion", "y_Edema", "y_Hernia", "site")] == [
        *("c.png", "1", "-1", "", "Lyon")
    ]
    assert further_columns(rows[0]) == ("site", "age", "view")


def test_the_hash_of_the_data_knows_findings_but_not_columns():
    def hashed(*films: Film, uncertain: str = "ignore") -> str:
        return Films(Table(films), "set", uncertain=uncertain).data_hash

    plain = hashed(film("a", {"Edema": UNCERTAIN}))
    assert plain == hashed(film("a", {"Edema": UNCERTAIN}, site="Oslo"))
    assert plain != hashed(film("a", {"Edema": UNKNOWN}))
    assert plain != hashed(film("a", {"Edema": UNCERTAIN}), uncertain="positive")
    assert plain != hashed(film("a", {"Hernia": UNCERTAIN}))


def test_the_hash_of_the_set_is_that_of_every_split_of_it():
    films = Films(Table(film(name, {"Edema": UNCERTAIN}) for name in "ab"), "set")
    one, other = (films.with_parts(parts, "apart") for parts in (("train", "test"), ("test", "train")))
    assert one.set_hash == other.set_hash == films.set_hash and one.data_hash != other.data_hash
    assert films.set_hash != films.at([0]).set_hash
    assert films.set_hash != Films(Table(film(name, {"Hernia": UNCERTAIN}) for name in "ab"), "set").set_hash


def test_a_finding_costs_a_byte_a_film():
    findings = {f"finding {k}": k % 2 for k in range(14)}
    table = Table(film(f"{k}.png", findings) for k in range(2_000))
    assert table.findings.array.nbytes == 14 * 2_000


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("ABCD"), st.sampled_from([1, 0, -1, -2])),
            st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["", "1", "ü"])),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["ignore", "positive", "negative"]),
    st.randoms(use_true_random=False),
)
def test_unknown_is_never_known_whatever_is_done_to_a_table(cells, uncertain, random):
    films = [Film(f"{k:03d}", "", no_bytes, findings=f, columns=c) for k, (f, c) in enumerate(cells)]
    places = random.sample(range(len(films)), len(films))
    found = Films(Table(), "set", uncertain=uncertain).with_films(films).at(places).with_films(films[::-1])
    for number, (findings, columns) in enumerate(cells):
        for name, truth in zip(found.findings, found.truth[number].tolist(), strict=True):
            assert (truth < 0) == (
                findings.get(name, UNKNOWN) == UNKNOWN or (uncertain == "ignore" and findings[name] == UNCERTAIN)
            )
        assert {name: value for name, value in found[number].columns.items() if value} == {
            name: value for name, value in columns.items() if value
        }
