from __future__ import annotations

import json
import subprocess
import sys

import pytest

from plainfilm.errors import InputError
from plainfilm.search.journal import Journal, Trial


def trial(number: int, value: float = 0.5, **more) -> Trial:
    return Trial(number, [0.1], {"batch": 8}, {"auroc": value}, 1.0, 3, "done", [value], (0.4, 0.6), **more)


def test_trials_read_back_as_they_were_and_only_what_is_new_is_read(tmp_path):
    ours, theirs = Journal(tmp_path), Journal(tmp_path)
    assert ours.refresh() == {}
    ours.append(trial(0))
    assert theirs.refresh()[0].values == {"batch": 8}
    theirs.append(trial(1, 0.7))
    assert {n: t.scores["auroc"] for n, t in ours.refresh().items()} == {0: 0.5, 1: 0.7}
    ours.append(trial(1, 0.9))  # the first result of a trial stands
    assert theirs.refresh()[1].scores == {"auroc": 0.7}


def test_a_line_that_a_kill_cut_off_is_forgotten_and_written_over(tmp_path):
    journal = Journal(tmp_path)
    journal.append(trial(0))
    with open(journal.path, "ab") as handle:
        handle.write(b'{"number": 1, "poi')
    assert list(journal.refresh()) == [0]
    journal.append(trial(1))
    assert list(journal.refresh()) == [0, 1]
    assert list(Journal(tmp_path).refresh()) == [0, 1]


def test_a_damaged_line_is_said_to_be_one(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"number": 0}\n')
    with pytest.raises(InputError, match="is damaged"):
        Journal(tmp_path).refresh()


def test_any_changed_byte_of_a_line_is_found(tmp_path):
    journal = Journal(tmp_path)
    journal.append(trial(0, 0.25))
    whole = journal.path.read_bytes()
    for place in range(len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        if changed[place] in b"\n\r" or json.loads(whole) == _parsed(changed):
            continue  # blanks between values say nothing
        journal.path.write_bytes(changed)
        with pytest.raises(InputError, match="is damaged"):
            Journal(tmp_path).refresh()


def _parsed(line: bytearray) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def test_another_process_can_not_claim_a_trial_until_this_one_ends(tmp_path):
    code = (
        "import sys; from pathlib import Path; from plainfilm.search.journal import Journal\n"
        f"j = Journal(Path({str(tmp_path)!r}))\n"
        "for n in (3, 4):\n"
        "    with j.claim(n) as mine: print(mine)\n"
    )
    with Journal(tmp_path).claim(3) as mine:
        assert mine
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
    with Journal(tmp_path).claim(3) as mine:
        assert mine
    assert not [*(tmp_path / ".claimed").glob("trial-*")]  # a claim that was given back leaves no file
