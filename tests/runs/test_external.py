"""Films of elsewhere under the model's names: classes with commas, numbers, and patients in other spellings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.config import name_pairs, quoted
from plainfilm.data.films import FILMS_HEADER, Film, Films, Table
from plainfilm.errors import InputError
from plainfilm.runs.external import as_the_model_says, shared_with
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.tables import write_csv

OURS = ("NORMAL", "PNEUMONIA")


def films(*labels: str, patients: tuple[str, ...] = ()) -> Films:
    whose = patients or ("",) * len(labels)
    return Films(Table(Film(f"{i}", label, lambda *_: b"", whose[i]) for i, label in enumerate(labels)), "theirs")


names = st.text(min_size=1, max_size=12).filter(lambda name: name.strip() == name)


@given(st.dictionaries(names, names, min_size=1, max_size=5))
def test_any_names_can_be_written_as_pairs_and_read_back(pairs):
    text = ",".join(f"{quoted(theirs)}={quoted(ours)}" for theirs, ours in pairs.items())
    assert name_pairs("--classes", text) == list(pairs.items())


@pytest.mark.parametrize(
    "names", [("healthy", "sick"), ("no finding", "Effusion, left"), ("a=b", 'x "y"'), ("it's", "a,b"), ("0", "1,0")]
)
def test_the_advice_can_be_pasted_as_it_stands(names):
    with pytest.raises(InputError) as asked:
        as_the_model_says(films(*names), OURS, "")
    advice = re.search(r"--classes .*(?=\.$)", str(asked.value))
    flag, value = shlex.split(advice[0])  # as a shell does
    assert flag == "--classes"
    assert as_the_model_says(films(*names), OURS, value).counts == {"NORMAL": 2}
    other = f"{quoted(names[1])}=PNEUMONIA,{quoted(names[0])}=NORMAL"
    assert as_the_model_says(films(*names), OURS, other).counts == {"NORMAL": 1, "PNEUMONIA": 1}


@pytest.mark.parametrize("text", ["a", "a=b=c", '"a=b', "a=NORMAL,,b=x"])
def test_pairs_of_another_form_are_one_sentence(text):
    with pytest.raises(InputError, match=r"is not of the form NAME=NAME\. A name with a comma"):
        as_the_model_says(films("a", "b"), OURS, text)


def test_classes_are_one_as_numbers_and_in_other_capitals():
    assert as_the_model_says(films("1.0", "0"), ("0", "1"), "").counts == {"0": 1, "1": 1}
    assert as_the_model_says(films("1", "0"), ("0.0", "1.0"), "").counts == {"0.0": 1, "1.0": 1}
    assert as_the_model_says(films("normal", "Pneumonia"), OURS, "").counts == {"NORMAL": 1, "PNEUMONIA": 1}


def test_patients_that_the_model_saw_are_found_in_any_spelling(tmp_path: Path):
    """As the NIH recipe (1108) and RSNA's mapping (00001108) name them; val chooses, test does not."""
    seen = [("a", "NORMAL", "1108", "train"), ("b", "NORMAL", "7.0", "val"), ("c", "NORMAL", "9", "test")]
    write_csv(tmp_path / "films.csv", FILMS_HEADER, [(*row, 1, 1, f"{i}") for i, row in enumerate(seen)])
    theirs = films(*["NORMAL"] * 5, patients=("00001108", "p1108", "007", "9", ""))
    found = shared_with(RunFolder(tmp_path), list(theirs))
    assert found["patients"] == 2 and "2 of their patients, by name" in found["red_lines"][0]
    assert "1108 as " in found["red_lines"][0] and "7.0 as 007" in found["red_lines"][0]
    assert shared_with(RunFolder(tmp_path), list(films("NORMAL", patients=("9",))))["red_lines"] == []
