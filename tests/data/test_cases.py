"""Tables from public reports, and what pandas or Python's csv module says of them: never what is tested."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest

from plainfilm.data.films import Films
from plainfilm.data.sources import load


@pytest.fixture
def case(shared_cases: Path, tmp_path: Path):
    """Load a table of a case; its films need not be there."""

    def loaded(place: str) -> tuple[Films, pandas.DataFrame]:
        table = shutil.copy(shared_cases / place, tmp_path)
        return load(table), pandas.read_csv(table)

    return loaded


@pytest.mark.parametrize("name", ["nanlabel", "nalabel"])
def test_labels_that_pandas_calls_missing_are_left_out(case, name):
    films, right = case(f"nan_na_labels/{name}.csv")
    assert len(films) == len(right) - right.label.isna().sum() and films.classes == ("NORMAL", "PNEUMONIA")
    assert films.counts == right.label.value_counts().sort_index().to_dict()
    assert films.notes[0].startswith(f"{right.label.isna().sum()} of 48 films have no label")


def test_a_patient_that_pandas_calls_missing_is_nobody(case):
    films, right = case("nan_na_labels/nanpat.csv")
    assert sum(not film.patient for film in films) == right.patient.isna().sum() == 16
    assert len({film.patient for film in films} - {""}) == right.patient.nunique()


def test_one_and_one_point_zero_are_one_class(case):
    films, right = case("nan_na_labels/mix01.csv")
    assert films.counts == {str(int(value)): count for value, count in right.label.value_counts().items()}


def test_short_rows_of_excel_are_rows(case):
    films, right = case("excel_short_rows/excel16.csv")
    assert len(films) == len(right) == 48


def test_two_spellings_of_a_patient_are_one(case):
    films, right = case("mixed_patient_ids/mixpat.csv")
    assert len({film.patient for film in films}) == right.patient.nunique() == 24
    assert any("count as one" in note for note in films.notes)


def test_backslashes_are_slashes(case):
    films, right = case("backslash_zip/backslash.csv")
    assert sorted(film.path for film in films) == sorted(right.path.str.replace("\\", "/"))
