"""Words for parts, for what is not known, and numbers as labels, as users of pandas, R, Excel and MIMIC write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES  # pandas' own list of missing values

from plainfilm.data import words

MEANT = {
    "train": ["train", "Train", "TRAINING", "train_set", "training-data", "trn", " train "],
    "val": ["val", "valid", "validate", "Validation", "dev", "internal_validation", "VAL set", "tuning"],
    "test": [
        "test",
        "TEST ",
        "testing",
        "holdout",
        "hold-out",
        "Hold_Out",
        "internal_test",
        "Internal Test",
        "test set",
    ],
}


@pytest.mark.parametrize(("meant", "word"), [(part, word) for part, several in MEANT.items() for word in several])
def test_words_for_parts(meant, word):
    assert words.part(word) == meant


@given(
    st.sampled_from([(part, word.strip()) for part, several in MEANT.items() for word in several]),
    st.lists(st.booleans(), min_size=30, max_size=30),
    st.sampled_from(["", " ", "\t", "\u00a0"]),
    st.sampled_from(["_", "-", " ", "__"]),
)
def test_capitals_blanks_and_dashes_change_no_part(meant, capitals, blank, dash):
    part, word = meant
    written = "".join(c.upper() if up else c.lower() for c, up in zip(word, capitals, strict=False))
    assert words.part(blank + written.replace("_", dash).replace("-", dash) + blank) == part


@given(st.text())
def test_a_part_is_one_of_three_or_none(text):
    assert words.part(text) in ("train", "val", "test", "")


@pytest.mark.parametrize("word", ["NORMAL", "unsorted", "testis", "traine", "eval", "data", "set", "1", "", "fold1"])
def test_what_is_no_part(word):
    assert words.part(word) == ""


@pytest.mark.parametrize(
    "word", sorted(STR_NA_VALUES | {"#NV", "#WERT!", "#DIV/0!", ".", "NaT", " nan ", "N.A.", "\\N"})
)
def test_what_pandas_r_and_excel_write_for_missing_is_not_known(word):
    assert words.is_unknown(word) and words.label(word) == "" and words.patient(word) == ""
    assert words.is_unknown(f"\t{word} ")


@pytest.mark.parametrize("word", ["none", "Normal", "0", "no", "nano", "NAD", "nano-1", "-1"])
def test_what_is_known(word):
    assert not words.is_unknown(word) and words.label(word) == word


def test_nobody_is_no_patient():
    assert not any(map(words.patient, ("unknown", "Anonymous", "none", "NaN", "ANON", "")))
    assert words.patient(" 0012 ") == "0012"


@given(st.integers(-1, 10**6), st.sampled_from(["", ".0", ".00", ".", ",0"]), st.sampled_from(["", " "]))
def test_one_number_is_one_label(number, end, blank):
    assert words.label(f"{blank}{number}{end}{blank}") == str(number)


@given(st.floats(0, 1), st.booleans(), st.sampled_from([" ", "\u00a0", ""]))
def test_decimal_commas(value, comma, blank):
    written = repr(value).replace(".", ",") if comma else repr(value)
    assert words.number(blank + written + blank) == value


@pytest.mark.parametrize(
    ("text", "value"), [("87 %", 0.87), ("8,5%", 0.085), (",5", 0.5), ("1e-3", 0.001), ("1,5e-2", 0.015), ("0", 0.0)]
)
def test_numbers_as_spreadsheets_write_them(text, value):
    assert words.number(text) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("text", ["", "x", "1,2,3", "1.2.3", "%", "nan", "0x1"])
def test_what_is_no_number(text):
    assert math.isnan(words.number(text))


def test_classes_are_found_as_numbers_and_in_other_capitals_but_never_guessed():
    assert words.same_class("1.0", ("0", "1")) == "1" and words.same_class("1", ("0.0", "1.0")) == "1.0"
    assert words.same_class(" normal", ("NORMAL", "x")) == "NORMAL"
    assert words.same_class("a", ("A", "a")) == "a" and words.same_class("A ", ("a", "A")) == "A"
    assert words.same_class("xX", ("xx", "XX")) is None and words.same_class("b", ("a",)) is None
    assert words.same_class("", ("a", "b")) is None
