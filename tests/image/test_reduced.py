from __future__ import annotations

import io
import json
import struct

import h5py
import numpy as np
import pytest
from PIL import Image

from plainfilm.data.films import FilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.reduced import decode_at, factor_for
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.model import Model
from plainfilm.models.zoo import recipe


def jpeg(grey: np.ndarray, mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).convert(mode).save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def chest(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth shades with an edge and a detector's noise."""
    y, x = np.mgrid[:height, :width] / height
    rng = np.random.default_rng(seed)
    shades = 120 + 60 * np.sin(5 * x + seed) * np.cos(4 * y) + 40 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1)
    return (shades + rng.normal(0, 4, shades.shape)).clip(0, 255).astype(np.uint8)


FILM = chest(1005, 771)
TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    ("data", "least", "factor"),
    [
        (jpeg(FILM), 0, 1),
        (jpeg(FILM), 96, 8),
        (jpeg(FILM), 97, 4),
        (jpeg(FILM), 193, 2),
        (jpeg(FILM), 386, 1),
        (jpeg(FILM, exif=TURNED), 96, 1),
        (jpeg(FILM)[:-999], 96, 8),  # its reason is decode's
        (b"", 96, 1),
        (b"\xff\xd8\xff", 96, 1),
        (b"\x89PNG" + jpeg(FILM), 96, 1),
    ],
)
def test_the_shorter_side_keeps_what_is_asked(data, least, factor):
    assert factor_for(data, least) == factor


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_reduced_picture_is_the_films_own_averaged(mode, progressive, factor):
    data = jpeg(FILM, mode, progressive=progressive)
    found = decode_at(data, factor)
    assert found[1:] == (1005, 771, factor) and found.grey.dtype == np.uint8
    assert found.grey.shape == (-(-771 // factor), -(-1005 // factor))
    rows, columns = 771 // factor, 1005 // factor
    whole = decode(data)[: rows * factor, : columns * factor].astype(float)
    means = whole.reshape(rows, factor, columns, factor).mean((1, 3))
    assert np.abs(found.grey[:rows, :columns] - means).mean() < 0.6


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(("size", "factor"), [(32, 8), (64, 4), (160, 2), (224, 1)])
def test_fast_and_plain_way_give_nearly_the_same_input(resize, size, factor):
    fast, plain = Preprocess(size, resize, oversample=2), Preprocess(size, resize)
    for seed, shape in enumerate(((1005, 771), (771, 1005), (895, 895))):
        data = jpeg(chest(*shape, seed))
        assert fast.factor(data) == factor and plain.factor(data) == 1
        difference = np.abs(fast.read(data).astype(int) - plain.read(data))
        assert difference.mean() < (0.5 if factor > 1 else 1e-9) and difference.max() <= 12


def test_geometry_holds_to_a_fraction_of_a_pixel():
    ramp = np.tile(np.linspace(0, 255, 1015).astype(np.uint8), (1015, 1))  # 1015 = 8 · 127 - 1
    fast, plain = (Preprocess(63, "stretch", oversample=n).read(jpeg(ramp, quality=100)) for n in (2, 0))
    assert np.abs(fast.astype(int) - plain).max() <= 1  # one column is four grey levels


def test_a_turned_film_is_turned():
    data = jpeg(FILM, exif=TURNED)
    assert (Preprocess(oversample=2).read(data) == Preprocess().read(data)).all()


def test_contrast_in_the_finest_detail_is_not_taken_for_an_empty_picture():
    checker = (np.indices((512, 512)).sum(0) % 2 * 40 + 100).astype(np.uint8)
    data = jpeg(checker, quality=100)
    found = decode_at(data, 8)
    assert found.factor == 1 and (found.grey == decode(data)).all()
    with pytest.raises(FilmError, match="every pixel is 7"):
        decode_at(jpeg(np.full((512, 512), 7, np.uint8)), 8)


def test_all_pixels_already_decoded_serve_where_nothing_is_reduced():
    p, small = Preprocess(oversample=2), chest(200, 150)
    assert (p.read(jpeg(small), 255 - small) == p.pixels(255 - small)).all()
    assert (p.read(jpeg(FILM), 255 - FILM) == p.read(jpeg(FILM))).all()


def outcome(preprocess: Preprocess, data: bytes) -> str | tuple[int, ...]:
    try:
        return preprocess.read(data).shape
    except FilmError as error:
        return str(error)


def grown(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def damaged() -> list[bytes]:
    rng = np.random.default_rng(2)
    source = jpeg(FILM)
    cut = [source[: int(n)] for n in rng.integers(2, len(source), 30)]
    flipped = []
    for reach in [700, len(source)] * 30:
        data = bytearray(source)
        for at in rng.integers(0, reach, 3):
            data[at] ^= 1 << int(rng.integers(8))
        flipped.append(bytes(data))
    return cut + flipped


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged EXIF
def test_damaged_films_have_the_same_reason_both_ways():
    films = [
        *damaged(),
        jpeg(FILM)[:2] + b"\xff\xda" * 101 + jpeg(FILM)[2:],
        jpeg(FILM) + bytes(16 * 2**20),
        grown(jpeg(FILM), 60_000, 60_000),
        grown(jpeg(FILM), 900, 12),
        grown(jpeg(FILM), 9_000, 500),
        jpeg(FILM)[:20] + bytes(108) + b"DICM" + jpeg(FILM)[132:],
        jpeg(np.full((600, 600), 9, np.uint8)),
    ]
    ways = [[outcome(Preprocess(oversample=n), data) for data in films] for n in (2, 0)]
    assert ways[0] == ways[1]
    assert len({reason for reason in ways[0] if isinstance(reason, str)}) > 8


def test_a_model_keeps_its_rule_and_an_older_one_decodes_whole(tmp_path):
    rule = Preprocess(size=16, oversample=2)
    Model(recipe("vgg").build(2, rule), "vgg", Decision(("a", "b"), "b"), rule).save(tmp_path / "model.h5")
    assert Model.load(tmp_path / "model.h5").preprocess == rule
    bundle = read_bundle(tmp_path / "model.h5")
    del bundle.about["preprocess"]["oversample"]
    write_bundle(tmp_path / "model.h5", "model", bundle.arrays, bundle.about)
    with h5py.File(tmp_path / "model.h5") as file:
        assert "oversample" not in json.loads(file["about.json"][()].tobytes())["preprocess"]
    old = Model.load(tmp_path / "model.h5")
    assert old.preprocess == Preprocess(size=16) and old.preprocess.factor(jpeg(FILM)) == 1
    assert (old.predict_proba([jpeg(FILM)]) == old.predict_proba([decode(jpeg(FILM))])).all()


def test_training_reduces_by_default():
    from plainfilm.config import TrainConfig

    assert recipe("vgg").preprocess_for(TrainConfig()).oversample == 2
    assert recipe("vgg").preprocess_for(TrainConfig(oversample=0)) == Preprocess()
