from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image
from tests.audit.conftest import film, films, packed, picture

from plainfilm.audit.duplicates import ALL_PAIRS, BITS, candidates, duplicates, inseparable, near_pairs
from plainfilm.audit.measure import measure

CHANGES = {
    "saved again": lambda p: packed(p, quality=50),
    "scaled": lambda p: packed(p.resize((81, 65), Image.Resampling.BILINEAR)),
    "stretched": lambda p: packed(p.resize((96, 96), Image.Resampling.BILINEAR)),
    "lightened": lambda p: packed(p.point([min(255, int(v * 1.1) + 8) for v in range(256)])),
    "all of it": lambda p: packed(p.resize((90, 72)).point([min(255, int(v * 1.1)) for v in range(256)]), quality=60),
}


@pytest.mark.parametrize(
    ("name", "count"), [*((name, 12) for name in CHANGES), ("all of it", ALL_PAIRS + 1)]
)  # the last by hashes
def test_a_changed_copy_is_found_and_nothing_else(name, count):
    originals = [film(f"A/{i:04d}", packed(picture(i))) for i in range(count)]
    copies = [film(f"B/{i:04d}", CHANGES[name](picture(i))) for i in (3, 7)]
    found = duplicates(measure(films(originals + copies)))
    assert [(twin.rows, twin.kind) for twin in found] == [((3, count), "near"), ((7, count + 1), "near")]
    assert all(0.95 <= twin.correlation < 1 for twin in found)


def test_kinds_of_duplicates():
    jpeg = packed(picture(0))
    same_pixels = packed(Image.open(io.BytesIO(jpeg)), "PNG")
    items = [film("A/0", jpeg), film("A/1", jpeg), film("A/2", packed(picture(1))), film("B/0", same_pixels)]
    assert [(t.rows, t.kind) for t in duplicates(measure(films(items)))] == [((0, 1, 3), "pixels")]
    assert [(t.rows, t.kind) for t in duplicates(measure(films(items[:3])))] == [((0, 1), "bytes")]


def test_patients_and_pictures_chain_into_one_group():
    data = [packed(picture(i)) for i in range(3)]
    who = ["x", "x", "y", "z"]
    items = [film(f"A/{i}", data[min(i, 1) if i < 3 else 2], patient=p) for i, p in enumerate(who)]
    measured = measure(films(items))
    groups = inseparable(measured, duplicates(measured))
    assert len(set(groups[:3])) == 1  # film 2 is film 1 under another patient
    assert groups[3] != groups[0]


def test_a_mirrored_film_is_another_one():
    pictures = [picture(0), picture(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    assert duplicates(measure(films(film(f"A/{i}", packed(p)) for i, p in enumerate(pictures)))) == []


def test_candidates_are_all_pairs_that_share_a_band():
    rng = np.random.default_rng(0)
    bits = rng.random((300, 32)) < 0.5
    bits[200:220, :16] = bits[:20, :16]
    hashes = np.packbits(bits, axis=1)
    keys = hashes.view(np.uint16)
    by_hand = [(i, j) for i in range(300) for j in range(i + 1, 300) if (keys[i] == keys[j]).any()]
    assert [tuple(pair) for pair in candidates(hashes, 32).tolist()] == by_hand
    nearer = [(i, j) for i, j in by_hand if (bits[i] != bits[j]).sum() <= 6]
    assert [tuple(pair) for pair in candidates(hashes, 6).tolist()] == nearer
    assert 0 < len(nearer) < len(by_hand)


def test_forty_thousand_hashes_take_seconds_and_look_alikes_do_not_explode():
    rng = np.random.default_rng(0)
    bits = rng.random((40_000, BITS)) < 0.5
    bits[20_000:20_200] = bits[:200] ^ (rng.random((200, BITS)) < 0.05)  # twins: one bit in twenty differs
    bits[39_000:] = bits[39_000]  # a thousand times one hash
    start = time.process_time()
    pairs = candidates(np.packbits(bits, axis=1))
    assert time.process_time() - start < 60  # 8e8 pairs would take long
    assert len(pairs) < 2_000_000
    found = set(map(tuple, pairs[(pairs[:, 0] < 200) & (pairs[:, 1] >= 20_000)].tolist()))
    assert sum((i, 20_000 + i) in found for i in range(200)) == 200


def test_no_films_no_pairs():
    pairs, alike = near_pairs(np.zeros((1, 32, 32), np.uint8), np.arange(1))
    assert pairs.shape == (0, 2)
    assert not alike.size
