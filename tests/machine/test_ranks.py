"""What ranks say to each other, the others made up. tests/commands/test_ranks.py has real ones."""

from __future__ import annotations

import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.machine import ranks


def test_alone_everything_passes_through():
    assert (ranks.rank(), ranks.world(), ranks.job(), ranks.restarted()) == (0, 1, "", False)
    assert list(ranks.turns(3)) == [0, 1, 2] and ranks.agreed(True) and ranks.gathered("x") == ["x"]
    assert ranks.total(torch.ones(2)).tolist() == [1, 1]
    with ranks.joined(), pytest.raises(InputError, match="mine"), ranks.together():
        raise InputError("mine")


@pytest.fixture
def second_of_two(monkeypatch):
    """This process is rank 1; the returned list takes what rank 0 says, question by question."""
    said: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ranks, "world", lambda: 2)
    monkeypatch.setattr(ranks, "gathered", lambda value: [said.pop(0), value])
    return said


def test_turns_are_dealt_out(second_of_two):
    assert list(ranks.turns(5)) == [1, 3]


def test_what_befalls_another_ends_this_one_silently_with_its_code(second_of_two):
    second_of_two += [2, True]
    with pytest.raises(ranks.Echo) as ended, ranks.together():
        pass
    assert ended.value.exit_code == 2 and str(ended.value) == ""


def test_what_befalls_all_is_said_by_the_first(second_of_two):
    second_of_two += [2, True]
    with pytest.raises(ranks.Echo), ranks.together():
        raise InputError("said by rank 0")


def test_what_befalls_this_one_alone_is_said_by_it_through_blocks_in_blocks(second_of_two):
    second_of_two += [0, False, 2, False]  # rank 0 is well, then an echo
    with pytest.raises(InputError, match="only here"), ranks.together(), ranks.together():
        raise InputError("only here")


def test_one_process_does_what_cannot_be_shared(monkeypatch, capsys):
    from plainfilm.cli import main

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["compare", "x"]) == 2
    assert "compare is done by one process" in capsys.readouterr().err
    assert main(["train", "x", "--out", "y", "--folds", "3"]) == 2
    monkeypatch.setenv("RANK", "1")
    capsys.readouterr()
    assert main(["compare", "x"]) == 2 and capsys.readouterr().err == ""
