"""SIGKILL at random moments and inside every save: what is resumed ends byte-equal to what was never killed."""

from __future__ import annotations

from functools import partial
from itertools import count

import numpy as np
import pytest


def killed_until_done(run, begin, resume, seconds, rng, most):
    """Run a command, killing it after up to ``seconds``, resuming each time, at most ``most`` times; then let it end.

    Returns the number of kills.
    """
    kills = 0
    while kills < most:
        done = run(*(resume if kills else begin), kill_after=rng.uniform(0, seconds))
        if done.code != -9:
            assert done.code == 0, done.said
            return kills
        kills += 1
    done = run(*resume)
    assert done.code == 0, done.said
    return kills


def killed_and_equal(nursery, words_for, whole, tmp_path, seconds, rng, wanted, most, differing):
    """Kill a command ``wanted`` times, up to ``most`` times a folder; each must end as ``whole``. Returns the kills."""
    kills = 0
    for chain in count():
        if kills >= wanted:
            return kills
        out, run = tmp_path / f"run{chain}", partial(nursery.run, cache=tmp_path / f"cache{chain}")
        words = words_for(out)
        kills += killed_until_done(run, words, (*words, "--resume"), seconds, rng, min(most, wanted - kills))
        wrong = differing(whole, out)
        assert not wrong, wrong


def test_training_killed_at_random_moments(nursery, whole, few_films, tiny, tmp_path, times, tally, differing):
    folder, first = whole
    kills = killed_and_equal(
        nursery,
        lambda out: ("train", few_films, "--out", out, *tiny),
        folder,
        tmp_path,
        first.seconds,
        np.random.default_rng(0),
        times(60, 2),
        4,
        differing,
    )
    tally("SIGKILL at a random moment of training, then --resume: byte-equal", kills, kills)


def test_extraction_killed_at_random_moments(nursery, few_films, vgg16_file, tmp_path, times, tally, differing):
    wanted = times(20, 0)
    if not wanted:
        pytest.skip("VGG16 is too heavy for every day; make faults tries it")
    how = ("--model", "vgg16-lr", "--size", 32, "--weights", vgg16_file, "--threads", 1, "--quiet")
    first = nursery.run("train", few_films, "--out", tmp_path / "whole", *how, cache=tmp_path / "cache")
    assert first.code == 0, first.said
    kills = killed_and_equal(
        nursery,
        lambda out: ("train", few_films, "--out", out, *how),
        tmp_path / "whole",
        tmp_path,
        first.seconds,
        np.random.default_rng(1),
        wanted,
        3,
        differing,
    )
    tally("SIGKILL at a random moment of extraction and fit, then --resume: byte-equal", kills, kills)


def test_labelling_killed_at_random_moments(nursery, whole, few_films, tmp_path, times, tally):
    rng, wanted, kills = np.random.default_rng(2), times(20, 1), 0
    films = [few_films] * 10
    first = nursery.run("label", whole[0], *films, "--out", tmp_path / "whole.csv", "--quiet", cache=tmp_path)
    assert first.code == 0, first.said
    while kills < wanted:
        words = ("label", whole[0], *films, "--out", tmp_path / "cut.csv", "--force", "--quiet")
        kills += killed_until_done(
            lambda *w, **f: nursery.run(*w, cache=tmp_path, **f),
            words,
            (*words, "--resume"),
            first.seconds,
            rng,
            min(3, wanted - kills),
        )
        assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
        (tmp_path / "cut.csv").unlink()
    tally("SIGKILL at a random moment of labelling, then --resume: byte-equal", kills, kills)


def test_killed_inside_a_save(nursery, whole, few_films, tiny, tmp_path, times, tally, differing):
    folder, first = whole
    wanted = times(50, 2)
    saves = np.linspace(1, first.saves, wanted).round().astype(int).tolist()
    equal = 0
    for number, save in enumerate(saves):
        out, cache = tmp_path / f"run{number}", tmp_path / f"cache{number}"
        words = ("train", few_films, "--out", out, *tiny)
        where = ("half", "written", "moved")[number % 3]
        assert nursery.run(*words, cache=cache, save=[save, where]).code == -9
        done = nursery.run(*words, "--resume", cache=cache)
        assert done.code == 0, (save, where, done.said)
        wrong = differing(folder, out)
        assert not wrong, (save, where, wrong)
        equal += 1
    tally("SIGKILL inside a save (half written, written, moved), then --resume: byte-equal", len(saves), equal)


def test_a_run_killed_in_its_very_first_save_can_be_begun_again(nursery, few_films, tiny, tmp_path):
    """Its temporary file must not make the folder look like somebody else's."""
    words = ("train", few_films, "--out", tmp_path / "run", *tiny)
    cache, saves = tmp_path / "cache", 1
    while not (tmp_path / "run").exists():  # the stores' own files come before the folder's
        assert nursery.run(*words, cache=cache, save=[saves, "half"]).code == -9
        saves += 1
    assert list((tmp_path / "run").glob(".*.tmp"))
    assert nursery.run(*words, cache=cache).code == 0
    assert not list((tmp_path / "run").glob(".*.tmp"))
