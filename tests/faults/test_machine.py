"""The machine or another process in the way: rights, memory, a second trainer, a dead worker; a loss that is none."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from plainfilm.search.journal import Journal
from plainfilm.storage.files import locked

NOBODY = 65534


@pytest.fixture
def open_place(few_films):
    """Films and a folder that everybody may enter; pytest's own are closed to others."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    shutil.copytree(few_films, place / "films")
    for name in ("mine", "everybodys"):
        (place / name).mkdir()
    (place / "everybodys").chmod(0o777)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; others are refused as they are")
@pytest.mark.parametrize("what", ["out", "cache", "a run of somebody else's"])
def test_no_permission_to_write(nursery, open_place, tiny, what):
    out, cache = open_place / "everybodys" / "run", open_place / "everybodys" / "cache"
    words = ("train", open_place / "films", "--out", out, *tiny)
    if what == "a run of somebody else's":
        assert nursery.run(*words, cache=cache).code == 0
        words = (*words, "--resume")
    elif what == "out":
        words = ("train", open_place / "films", "--out", open_place / "mine" / "run", *tiny)
    else:
        cache = open_place / "mine" / "cache"
    done = nursery.run(*words, cache=cache, user=NOBODY)
    assert done.code == 2 and "Permission denied" in done.said and done.said.count("\n") == 1, done.said


def test_no_memory(nursery, whole, few_films, tiny, tmp_path, times, tally, differing):
    """Either it is enough, or one sentence says that it is not; with more, --resume goes on."""
    limits = [2**20 * n for n in (times(1, 16), 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)][: times(13, 1)]
    short = 0
    for number, memory in enumerate(limits):
        words = ("train", few_films, "--out", tmp_path / str(number), *tiny)
        done = nursery.run(*words, cache=tmp_path / f"cache{number}", memory=memory)
        if done.code:
            assert done.code == 1 and "not enough memory" in done.said and "Traceback" not in done.said, done.said
            short += 1
            done = nursery.run(*words, "--resume", cache=tmp_path / f"cache{number}")
        assert done.code == 0, done.said
        assert differing(whole[0], tmp_path / str(number)) == []
    assert short
    tally("not enough memory (ulimit -v): one sentence, then --resume: byte-equal", len(limits), len(limits))


def test_a_second_trainer_is_refused(nursery, few_films, tiny, tmp_path):
    words = ("train", few_films, "--out", tmp_path / "run", *tiny)
    with locked(tmp_path / "run"):
        done = nursery.run(*words, cache=tmp_path / "cache")
    assert done.code == 2 and "is in use by process" in done.said
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_loss_that_is_none_leaves_the_last_good_state(nursery, few_films, tiny, tmp_path):
    words = ("train", few_films, "--out", tmp_path / "run", *tiny, "--learning-rate", 900, "--set", "epochs=60")
    done = nursery.run(*words, cache=tmp_path / "cache")
    assert done.code == 1 and "lower --learning-rate" in done.said and done.said.count("\n") == 1, done.said
    assert not (tmp_path / "run" / "model.h5").exists()
    done = nursery.run("doctor", tmp_path / "run", "--json", cache=tmp_path / "cache")
    assert done.code == 3 and "can be resumed" in done.said


def test_a_worker_that_dies_gives_back_its_trial(tmp_path):
    """The kernel lets go of a dead process's claims; the others take them up."""
    journal = Journal(tmp_path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with Journal(tmp_path).claim(0):
            os.write(writer, b"x")
            signal.pause()
    assert os.read(reader, 1) == b"x"
    with journal.claim(0) as mine:
        assert not mine
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with journal.claim(0) as mine:
        assert mine
    os.close(reader)
    os.close(writer)
