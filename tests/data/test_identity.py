"""Spellings of a patient: any two of one number are one patient, and other names stay apart.

The right values are those of Python's ``int`` on the number that was spelt, and of the case in ``../shared/cases``.
"""

from __future__ import annotations

import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.data.identity import find_patient, key, lost_digits, one_spelling, plain, pseudonym, shared
from plainfilm.storage.columns import Texts

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
SPELLINGS = {
    "as it is": str,
    "eight digits": lambda n: f"{n:08d}",
    "a float of pandas": lambda n: f"{n}.0",
    "a float of R": lambda n: f"{n}.",
    "a float in German": lambda n: f"{n},0",
    "blanks": lambda n: f" {n}\u00a0",
    "a prefix": lambda n: f"p{n}",
    "a prefix with zeros": lambda n: f"P{n:06d}",
    "CheXpert": lambda n: f"patient{n:05d}",
    "BIDS": lambda n: f"sub-{n:03d}",
    "a word": lambda n: f"Patient ID: {n}",
    "a number sign": lambda n: f"#{n}",
    "full width": lambda n: str(n).translate(FULL_WIDTH),
    "Arabic digits": lambda n: f"{n:08d}".translate(ARABIC),
    "thousands": lambda n: f"{n:,}",
    "thousands in French": lambda n: f"{n:,}".replace(",", "\u202f"),
    "an exponent": lambda n: f"{n:.12E}",
    "Excel's apostrophe": lambda n: f"'{n:08d}",
    "quotes": lambda n: f'"{n}"',
    "a mark": lambda n: f"\ufeff{n}",
}
numbers = st.integers(0, 10**8 - 1)
spellings = st.sampled_from(sorted(SPELLINGS))


@given(numbers, spellings, spellings)
def test_any_two_spellings_of_one_number_are_one_patient(number, one, other):
    assert key(SPELLINGS[one](number)) == key(SPELLINGS[other](number))
    assert plain(SPELLINGS[one](number)) == str(number)


@given(numbers, numbers, spellings, spellings)
def test_two_numbers_are_two_patients_however_they_are_spelt(first, second, one, other):
    assert (key(SPELLINGS[one](first)) == key(SPELLINGS[other](second))) == (first == second)


@given(numbers, spellings)
def test_a_header_and_a_table_name_the_same_patient(number, spelling):
    assert key(pseudonym(SPELLINGS[spelling](number))) == key(str(number))


@given(st.text(max_size=20))
def test_every_name_has_a_form_that_stays(name):
    assert plain(plain(name)) == plain(name) and key(name) == key(name.strip())


@pytest.mark.parametrize(
    "names",
    [
        ("person1", "IM-0001", "NORMAL2-IM-0001", "1", "synthetic-p001"),  # one set of films, and another
        ("A12", "B12", "12"),
        ("1.2.840.1", "1.2.840.10", "12.840.1"),
        ("-1", "1"),
        ("1.5", "1", "15"),
        ("a1b", "a1", "1b"),
        ("site1/001", "site2/001"),
    ],
)
def test_other_patients_stay_apart(names):
    assert len(set(map(key, names))) == len(names)


@pytest.mark.parametrize("names", [("ABC", "abc "), ("A-0012", "a12", "A 012"), ("Müller", "MÜLLER", "Mu\u0308ller")])
def test_names_of_letters_have_spellings_too(names):
    assert len(set(map(key, names))) == 1


@given(st.lists(st.tuples(st.integers(0, 30), spellings), max_size=40))
def test_one_spelling_keeps_films_in_their_order_and_patients_apart(drawn):
    spelt = [SPELLINGS[spelling](number) for number, spelling in drawn]
    found, said = one_spelling(Texts(spelt))
    assert len(found) == len(drawn)
    assert len(set(found)) == len({number for number, _ in drawn})
    assert set(found) <= set(spelt)
    assert bool(said) == (len(set(spelt)) > len(set(found)))
    for name, (number, _) in zip(found, drawn, strict=True):
        assert plain(name) == str(number)


def test_the_commonest_spelling_is_kept_the_others_are_said_and_nobody_stays_nobody():
    found, said = one_spelling(Texts(["100.0", "", "100", "100.0", "x", "", *"abcd", *"ABCD"]))
    assert list(found) == ["100.0", "", "100.0", "100.0", "x", "", *"abcd", *"abcd"]
    assert said.startswith("Patients that may be one person in two spellings count as one: ")
    assert said.endswith(" and 2 more") and said.count(" and ") == 4  # three are named
    untouched = Texts(["a", "", "b", "a"])
    assert one_spelling(untouched) == (untouched, "")


def test_patients_of_two_sources_are_counted_and_shown_in_both_spellings():
    assert shared(["1108", "7", ""], ["00001108", "00001108", "", "8"]) == (1, " (1108 as 00001108)")
    assert shared(["1108"], ["1108"]) == (1, "")
    assert shared([""], [""]) == (0, "")
    assert shared([pseudonym("1108")], ["1108"]) == (1, "")


def test_numbers_that_a_spreadsheet_cut_are_said():
    assert lost_digits(["7", "1.23457E+11"]).startswith("Patients such as 1.23457E+11 lost digits")
    assert lost_digits(["7", "", "E+11", "12e5"]) == ""


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("images/00000013_005.jpg", "00000013"),
        ("00000013_005.dcm", "00000013"),
        ("00000013_005", "00000013"),
        ("x/00000013_005.png.jpeg", "00000013"),
        ("x\\00000013_005.png", "00000013"),
        ("x/00000013_005_small.webp", "00000013"),
        ("20240101_001.jpg", ""),  # a date
        ("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg", "p10000032"),
        ("sub-S03044/ses-E07992/mod-rx/sub-S03044_ses-E07992_bp-chest_cr.png", "sub-S03044"),
        ("valid/patient64541/study1/view1_frontal.png", "patient64541"),
        ("person1000_bacteria_2931.bmp", "person1000"),
        ("submitted/film.png", ""),
    ],
)
def test_patients_in_names_with_any_ending(path, patient):
    assert find_patient(path) == patient


def test_two_sources_of_one_archive(shared_cases):
    """NIH's recipe writes 1108, RSNA's 00001108; the right value is that of the case's README, by ``int``
    (its README says 40; its files hold 42)."""
    ours, theirs = (
        list(csv.DictReader((shared_cases / "nih_rsna_patients" / name).read_text().splitlines()))
        for name in ("nih_run_films.csv", "rsna_films.csv")
    )
    trained = [row["patient"] for row in ours if row["part"] == "train"]
    right = len({int(name) for name in trained} & {int(row["patient"]) for row in theirs})
    assert (
        right == len({int(row["patient"]) for row in theirs}) == 42
        and shared(trained, (row["patient"] for row in theirs))[0] == right
    )


def test_a_table_of_two_spellings(shared_cases):
    rows = list(csv.DictReader((shared_cases / "mixed_patient_ids" / "mixpat.csv").read_text().splitlines()))
    found, said = one_spelling(Texts(row["patient"] for row in rows))
    assert len(set(found)) == len({int(float(row["patient"])) for row in rows}) == 24
    assert (
        Counter(found).most_common(1)[0][1] == Counter(int(float(row["patient"])) for row in rows).most_common(1)[0][1]
    )
    assert "count as one" in said
