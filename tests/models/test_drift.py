"""Whether films differ as a set: on numbers whose truth is known, and on real films of two hospitals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp

from plainfilm.image.preprocess import Preprocess
from plainfilm.models import drift
from plainfilm.models.drift import Watch, changed
from plainfilm.models.gate import DESCRIBED, Gate, fit_gate

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def gate_of(sample: np.ndarray, classes: np.ndarray) -> Gate:
    """A gate of which only the sample counts."""
    one = np.ones(1)
    return Gate(None, 64, one, one, one, one, one, one, sample.astype(np.float32), classes)  # type: ignore[arg-type]


def normal(rng, films, shift=0.0):
    return rng.normal(shift, 1, (films, len(DESCRIBED)))


@pytest.fixture
def gate():
    rng = np.random.default_rng(0)
    classes = (np.arange(1000) % 4 == 0).astype(np.int64)
    return gate_of(normal(rng, 1000) + 3 * classes[:, None], classes)


def films(rng, count, sick, shift=0.0):
    classes = (rng.random(count) < sick).astype(np.int64)
    return normal(rng, count, shift) + 3 * classes[:, None], classes


@pytest.mark.parametrize("count", [20, 50, 200])
@pytest.mark.parametrize("sick", [0.0, 0.25, 0.9])
def test_few_false_warnings_whatever_the_mix_of_classes(gate, count, sick):
    rng = np.random.default_rng(count)
    found = [changed(gate, *films(rng, count, sick)) for _ in range(100)]
    assert sum(change is not None for change in found) <= 6  # of 100 at .02: more come with a chance of .4 %


def test_a_shift_is_found_and_named(gate):
    rng = np.random.default_rng(1)
    described, classes = films(rng, 40, 0.5)
    described[:, DESCRIBED.index("sharpness")] -= 2
    change = changed(gate, described, classes)
    assert change and change.measure == "sharpness" and "less sharp" in change.sentence() and change.p < 1e-3
    described[:, DESCRIBED.index("sharpness")] += 4
    assert "sharper" in changed(gate, described, classes).words


def test_films_that_lie_nearer_than_training_films_held_out_are_no_change(gate):
    """The training films themselves do, when they are labelled."""
    described, classes = films(np.random.default_rng(4), 200, 0.5)
    described[:, DESCRIBED.index("shapes")] -= 2
    assert changed(gate, described, classes) is None
    described[:, DESCRIBED.index("shapes")] += 4
    assert changed(gate, described, classes).words == "their shapes are unusual"


def test_too_few_films_and_models_of_old_say_nothing(gate):
    rng = np.random.default_rng(2)
    assert changed(gate, *films(rng, drift.FEWEST - 1, 0.5, shift=9)) is None
    old = gate_of(np.empty((0, len(DESCRIBED))), np.empty(0, np.int64))
    assert changed(old, *films(rng, 99, 0.5, shift=9)) is None


def test_the_gap_is_scipy_s_and_ties_count_once():
    rng = np.random.default_rng(3)
    for values in (rng.normal(0.3, 1, 60), rng.integers(0, 3, 60).astype(float)):
        known = rng.integers(0, 3, 80).astype(float) if values.max() % 1 == 0 else rng.normal(0, 1, 80)
        ours = drift._gap(known, np.full(80, 1 / 80), values)
        theirs = ks_2samp(values, known)
        assert abs(ours) == pytest.approx(theirs.statistic)
        assert np.sign(ours) == -theirs.statistic_sign or theirs.statistic < 0.05


def test_the_watch_is_quiet_for_thousands_of_films_and_loud_soon_after_a_change(gate):
    rng = np.random.default_rng(4)
    watch = Watch(gate)
    described, classes = films(rng, 3000, 0.3)
    assert not any(watch.see(row, of) for row, of in zip(described, classes, strict=True))
    assert watch.films == 3000 and 0 <= watch.evidence < 1
    described, classes = films(rng, 200, 0.3, shift=1.0)
    seen = next(n for n, (row, of) in enumerate(zip(described, classes, strict=True), 1) if watch.see(row, of))
    assert seen < 100 and watch.alarm and watch.evidence >= 1 and watch.words


def _films(folder: str, limit: int | None = None) -> list[Path]:
    found = sorted(p for p in (SHARED / folder).rglob("*") if p.suffix in (".jpeg", ".jpg", ".png"))
    return found if limit is None else [found[i] for i in np.random.default_rng(0).permutation(len(found))[:limit]]


@pytest.mark.skipif(not SHARED.exists(), reason="the real films are not here")
def test_real_films_of_the_training_kind_are_silent_and_others_loud_from_twenty_on():
    size = 96
    read = Preprocess(size=size, resize="stretch").read
    ours = _films("chest_xray_224/train", 2200)
    pixels = np.stack([read(path.read_bytes()) for path in ours])
    classes = np.array(["PNEUMONIA" in str(path) for path in ours]).astype(np.int64)
    patients = np.array([re.sub(r"_.*|-\d+$", "", path.stem) for path in ours])
    rng = np.random.default_rng(5)
    names = np.unique(patients)
    training = np.isin(patients, names[rng.random(len(names)) < 0.6])
    gate = fit_gate(FakeRows(pixels), np.flatnonzero(training), rng, patients[training], classes[training])

    def described(films):
        return np.array([verdict.described for verdict in gate.judge(films)])

    fresh, own = described(pixels[~training]), classes[~training]
    for count in (20, 50, 200):
        drawn = [rng.choice(len(fresh), count, replace=False) for _ in range(200)]
        assert np.mean([changed(gate, fresh[rows], own[rows]) is not None for rows in drawn]) <= 0.05, count
    originals = _films("chest_xray_full_sample/train")
    whole = described(np.stack([read(path.read_bytes()) for path in originals]))
    assert changed(gate, whole, np.array(["PNEUMONIA" in str(p) for p in originals]).astype(np.int64)) is None
    adults = described(np.stack([read(path.read_bytes()) for path in _films("shenzhen", 200)]))
    others = {"adults": (adults, np.ones(len(adults), np.int64))}
    for name, change in CHANGES.items():
        others[name] = (described(change(pixels[~training][:300])), own[:300])
    for name, (films, labels) in others.items():
        drawn = [rng.choice(len(films), 20, replace=False) for _ in range(40)]
        loud = np.mean([changed(gate, films[rows], labels[rows]) is not None for rows in drawn])
        assert loud >= 0.9, (name, loud)


def _blurred(films):
    return np.stack([np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(1.5))) for film in films])


CHANGES = {
    "blurred": _blurred,
    "inverted": lambda films: 255 - films,
    "under-exposed": lambda films: (255 * (films / 255) ** 1.7).astype(np.uint8),
    "over-exposed": lambda films: (255 * (films / 255) ** 0.55).astype(np.uint8),
}


class FakeRows:
    """Pixels as the store gives them."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.data[rows]


def test_a_batch_of_any_size_keeps_the_same_sample_whoever_brings_the_films_first(gate):
    rng = np.random.default_rng(9)
    described, classes = films(rng, drift.MOST + 500, 0.3, shift=0.4)
    seen = []
    for order in (np.arange(len(classes)), rng.permutation(len(classes))):
        batch = drift.Seen(gate)
        for i in order:
            batch.add(f"film {i}", tuple(described[i]), int(classes[i]))
        assert batch.films == drift.MOST
        seen.append(batch.change())
    assert seen[0] == seen[1] and seen[0].films == drift.MOST
    assert drift.Seen(None).change() is None and drift.Seen(gate).change() is None


def test_the_watch_says_how_often_it_is_wrong_and_what_it_warns_of(gate):
    watch = Watch(gate)
    assert "once in 11,000" in watch.false_alarms and watch.warning is None
    few = gate_of(gate.sample[:100], gate.sampled[:100])
    assert "more often than once in 2,800" in Watch(few).false_alarms
    described, classes = films(np.random.default_rng(10), 300, 0.3, shift=1.5)
    for row, of in zip(described, classes, strict=True):
        watch.see(row, int(of))
    assert "The latest films differ from the training films" in str(watch.warning)
