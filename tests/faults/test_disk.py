"""A disk that fills up is one sentence and exit code 1; with room again, --resume ends byte-equal."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

SIZE = 64 * 2**20


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of 64 MB, where this user may mount one."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a file system can't be mounted here ({done.stderr.strip()}); the limit on a file's size is tried")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def leave(place, free):
    """Fill the disk but for ``free`` bytes."""
    with open(place / "ballast", "wb") as ballast:
        stat = os.statvfs(place)
        os.posix_fallocate(ballast.fileno(), 0, max(1, stat.f_bavail * stat.f_frsize - free))


def test_training_on_a_disk_that_fills_up(nursery, whole, few_films, tiny, small_disk, times, tally, differing):
    rng, wanted, survived = np.random.default_rng(0), times(30, 1), 0
    needed = 6_000_000  # the run, its checkpoint and the two files being written
    for number in range(wanted):
        out, cache = small_disk / "run", small_disk / "cache"
        leave(small_disk, int(needed * rng.uniform(0, 1)))
        words = ("train", few_films, "--out", out, *tiny)
        done = nursery.run(*words, cache=cache)
        if done.code:
            assert done.code == 1 and "the disk is full" in done.said and "Traceback" not in done.said, done.said
            assert done.said.count("\n") == 1
        (small_disk / "ballast").unlink()
        if done.code:
            done = nursery.run(*words, "--resume", cache=cache)
        assert done.code == 0, (number, done.said)
        assert differing(whole[0], out) == []
        survived += 1
        subprocess.run(["rm", "-r", str(out), str(cache)], check=True)
    tally("64 MB disk with 0 to 6 MB left for a training, then --resume: byte-equal", wanted, survived)


def test_extraction_on_a_disk_that_fills_up(nursery, few_films, vgg16_file, small_disk, times, tally):
    if not times(1, 0):
        pytest.skip("VGG16 is too heavy for every day; make faults tries it")
    how = ("--model", "vgg16-lr", "--size", 32, "--weights", vgg16_file, "--threads", 1, "--quiet")
    words, survived = ("train", few_films, "--out", small_disk / "run", *how), 0
    frees = np.linspace(1_000, 60_000, times(8, 1)).round().astype(int).tolist()
    for free in frees:  # model.h5 has 59 MB, so that it never fits
        leave(small_disk, free)
        done = nursery.run(*words, cache=small_disk / "cache")
        (small_disk / "ballast").unlink()
        assert done.code == 1 and "the disk is full" in done.said and done.said.count("\n") == 1, done.said
        survived += 1
        subprocess.run(["rm", "-rf", str(small_disk / "run")], check=True)
    tally("64 MB disk full during extraction or its save: one sentence", len(frees), survived)


def test_a_file_that_may_not_grow(nursery, whole, few_films, tiny, tmp_path, times, tally, differing):
    """Where nothing can be mounted: the largest file that may be written is too small for one of ours."""
    limits = np.geomspace(100, 2_000_000, times(12, 1)).round().astype(int).tolist()
    for limit in limits:
        words = ("train", few_films, "--out", tmp_path / str(limit), *tiny)
        done = nursery.run(*words, cache=tmp_path / f"cache{limit}", file_bytes=limit)
        assert done.code == 1 and "File too large" in done.said and done.said.count("\n") == 1, done.said
        assert nursery.run(*words, "--resume", cache=tmp_path / f"cache{limit}").code == 0
        assert differing(whole[0], tmp_path / str(limit)) == []
    tally("a file that may not grow (ulimit -f), then --resume: byte-equal", len(limits), len(limits))


def test_labels_and_answers_on_a_full_disk(nursery, whole, few_films, small_disk, tmp_path):
    leave(small_disk, 0)
    words = ("label", whole[0], *[few_films] * 5, "--out", small_disk / "labels.csv", "--quiet")
    done = nursery.run(*words, cache=tmp_path)
    assert done.code == 1 and "the disk is full" in done.said and done.said.count("\n") == 1
    (small_disk / "ballast").unlink()
    assert nursery.run(*words, "--resume", cache=tmp_path).code == 0


def test_an_answer_that_cannot_be_printed():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "plainfilm"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "the disk is full" in done.stderr and done.stderr.count("\n") == 1, done.stderr
