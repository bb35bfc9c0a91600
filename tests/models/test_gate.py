"""The gate lets the films pass that it was fitted on, and stops what is no such film, saying why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import plainfilm.models.gate
from plainfilm.data.demo_films import draw, phantom_set
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.gate import FRAMED, LIMITS, MEASURES, QUANTILES, UNDO, UNSEEN, Gate, Shapes, fit_gate
from plainfilm.models.looks import (
    COARSE,
    DETAIL,
    DIRECTIONS,
    PARTS,
    SIDE,
    STATISTICS,
    detail,
    edges,
    outlines,
    statistics,
    thumbnails,
)
from plainfilm.models.novelty import Insight, Leading

SIZE = 64


@dataclass
class FakeRows:
    """Pixels in memory that are read as the store's are; counts how many were asked for at once."""

    data: np.ndarray
    most: int = 0

    def __getitem__(self, positions):
        part = self.data[positions]
        self.most = max(self.most, len(part))
        return part


@pytest.fixture(scope="module")
def demo():
    """(pixels of 144 synthetic films, their patients)."""
    films = [film for film in phantom_set(145) if not film.cut]
    pixels = np.stack([Preprocess(SIZE).pixels(decode(draw(film))) for film in films])
    return pixels, np.array([film.patient for film in films])


@pytest.fixture(scope="module")
def halves(demo):
    """(positions of training films, positions of other patients' films)."""
    _, patients = demo
    other = np.isin(patients, np.unique(patients)[::4])
    return np.flatnonzero(~other), np.flatnonzero(other)


@pytest.fixture(scope="module")
def gate(demo, halves):
    pixels, patients = demo
    return fit_gate(FakeRows(pixels), halves[0], np.random.default_rng(0), patients[halves[0]])


def flagged(gate, pixels):
    return float(np.mean([verdict.reason is not None for verdict in gate.judge(pixels)]))


def reasons(gate, pixels):
    return [verdict.reason or "" for verdict in gate.judge(pixels)]


def each(function, pixels):
    return np.stack([np.asarray(function(Image.fromarray(film)), np.uint8) for film in pixels])


# ------------------------------------------------------------------------------- pictures that are no such film

rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE


def ellipse(x, y, wide, high):
    return ((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2 < 1


def ct_slice():
    picture = np.zeros((SIZE, SIZE))
    picture[ellipse(0.5, 0.5, 0.42, 0.3)] = 190
    picture[ellipse(0.5, 0.5, 0.39, 0.27)] = 140
    picture[ellipse(0.32, 0.5, 0.13, 0.19) | ellipse(0.68, 0.5, 0.13, 0.19)] = 30
    picture[ellipse(0.5, 0.68, 0.05, 0.05)] = 240
    return picture


def lateral():
    picture = 20 + 130.0 * ellipse(0.5, 0.5, 0.36, 0.6)
    picture[ellipse(0.54, 0.45, 0.22, 0.34)] = 60  # one lung field
    picture[ellipse(0.4, 0.62, 0.13, 0.14)] = 130  # the heart in front
    for vertebra in range(11):
        picture[ellipse(0.76, 0.06 + vertebra * 0.085, 0.05, 0.035)] = 210
    return picture


def text_page():
    page = Image.new("L", (4 * SIZE, 4 * SIZE), 250)
    for y in range(6, 4 * SIZE, 14):
        ImageDraw.Draw(page).text((10, y), "the quick brown fox jumps over it", fill=10)
    return page.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def photo(name):
    from sklearn.datasets import load_sample_image

    return Preprocess(SIZE).pixels(np.asarray(Image.fromarray(load_sample_image(name)).convert("L")))


def on_a_desk(film):
    """Askew, smaller, on a bright table."""
    corners = (-20, -26, -14, 84, 86, 90, 78, -16)  # of the table, in the film's pixels
    small = film.transform((SIZE, SIZE), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    inside = Image.new("L", film.size, 255).transform((SIZE, SIZE), Image.Transform.QUAD, corners)
    return Image.composite(small, Image.new("L", (SIZE, SIZE), 225), inside)


def noise(rng):
    return rng.integers(0, 256, (SIZE, SIZE))


OTHER_PICTURES = {
    "CT slice": ct_slice,
    "lateral": lateral,
    "text page": text_page,
    "building": lambda: photo("china.jpg"),
    "flower": lambda: photo("flower.jpg"),
    "noise": lambda: noise(np.random.default_rng(0)),
    "smooth noise": lambda: Image.fromarray(noise(np.random.default_rng(1)).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(4)
    ),
    "slope": lambda: 60 + 100 * columns + 30 * rows,
    "spot": lambda: 200 - 200 * ((columns - 0.5) ** 2 + (rows - 0.5) ** 2),
    "nearly nothing": lambda: 100 + 3 * columns,
}


@pytest.mark.parametrize("name", OTHER_PICTURES)
def test_other_pictures_are_flagged(gate, name):
    picture = np.asarray(OTHER_PICTURES[name]()).astype(np.uint8)
    [verdict] = gate.judge(picture[None])
    assert verdict.reason
    assert verdict.score < 0.02


# ------------------------------------------------------------------------------------------- films of the kind


def test_few_films_of_other_patients_are_flagged(gate, demo, halves):
    assert len(halves[1]) > 25
    assert flagged(gate, demo[0][halves[1]]) <= 0.08


def test_scores_of_other_patients_are_spread_as_those_held_out(gate, demo, halves):
    scores = np.array([verdict.score for verdict in gate.judge(demo[0][halves[1]])])
    assert scores.min() > 0 and scores.max() <= 1
    assert 0.35 < scores.mean() < 0.65  # uniform has 0.5


@pytest.mark.parametrize("power", [0.8, 1.25])
def test_another_exposure_passes(gate, demo, halves, power):
    pixels = (255 * (demo[0][halves[1]] / 255) ** power).round().astype(np.uint8)
    assert flagged(gate, pixels) <= 0.1


def test_blur_and_a_little_cropping_pass(gate, demo, halves):
    def handled(film):
        return film.filter(ImageFilter.GaussianBlur(0.5)).crop((1, 2, 63, 64)).resize((SIZE, SIZE))

    assert flagged(gate, each(handled, demo[0][halves[1]])) <= 0.15


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: 255 - x, "inverted"),
        (lambda x: x[:, ::-1, ::-1], "upside down"),
        (lambda x: np.rot90(x, 1, (1, 2)), "anticlockwise"),
        (lambda x: np.rot90(x, -1, (1, 2)), "turn clockwise"),
    ],
)
def test_a_film_that_was_turned_or_inverted_is_flagged_and_the_reason_says_so(gate, demo, halves, change, reason):
    named = [reason in text for text in reasons(gate, change(demo[0][halves[1]]))]
    assert flagged(gate, change(demo[0][halves[1]])) >= 0.95
    assert np.mean(named) >= 0.8


def test_a_film_on_a_bright_desk_is_flagged(gate, demo, halves):
    assert flagged(gate, each(on_a_desk, demo[0][halves[1]])) >= 0.95


def test_exposure_far_out_is_named(gate, demo):
    dark, light = (demo[0][:1] // 6), 255 - (255 - demo[0][:1]) // 6
    for pixels, words in (
        (dark, ("darker", "less contrast", "fewer")),
        (light, ("brighter", "less contrast", "fewer")),
    ):
        assert any(word in text for text in reasons(gate, pixels) for word in words)


# ---------------------------------------------------------------------------------------------- how it is fitted


def test_sixty_films_make_a_gate_that_says_its_limits_are_wide(demo, halves):
    pixels, patients = demo
    small = fit_gate(FakeRows(pixels), halves[0][:60], np.random.default_rng(0), patients[halves[0][:60]])
    assert "only 60 films" in small.about
    assert flagged(small, pixels[halves[1]]) <= 0.05
    assert flagged(small, 255 - pixels[halves[1]]) >= 0.9
    assert small.limit > small.held_out[-1]


def test_enough_films_take_the_conformal_rank(gate, halves):
    films = len(halves[0])
    assert gate.about == f"learnt from {films} films; flags about 1% of films like them"
    assert gate.limit == gate.held_out[int(np.ceil((films + 1) * 0.99)) - 1]


@pytest.mark.parametrize("films", [2, 3, 9])
def test_a_handful_of_films_is_enough_to_go_on(demo, films):
    tiny = fit_gate(FakeRows(demo[0]), np.arange(films), np.random.default_rng(0))
    again = Gate.from_arrays(tiny.arrays())
    assert again.judge(demo[0][:20]) == tiny.judge(demo[0][:20])


def test_one_film_is_refused(demo):
    with pytest.raises(ValueError, match="1 films"):
        fit_gate(FakeRows(demo[0]), np.arange(1), np.random.default_rng(0))


def test_a_single_patient_counts_as_films_of_their_own(demo):
    patients = np.full(8, "one")
    one, own = (fit_gate(FakeRows(demo[0]), np.arange(8), np.random.default_rng(0), p) for p in (patients, None))
    assert (one.held_out == own.held_out).all() and one.limit == own.limit and np.isfinite(one.limit)


def test_equal_films_still_give_finite_limits(demo):
    same = np.repeat(demo[0][:1], 12, 0)
    alike = fit_gate(FakeRows(same), np.arange(12), np.random.default_rng(0))
    assert flagged(alike, same) == 0
    assert flagged(alike, 255 - same) == 1


def test_films_are_read_in_blocks_and_capped(demo, halves, monkeypatch):
    monkeypatch.setattr("plainfilm.models.gate.MOST_FILMS", 50)
    monkeypatch.setattr("plainfilm.models.gate.BLOCK", 16)
    rows_read = FakeRows(demo[0])
    capped = fit_gate(rows_read, halves[0], np.random.default_rng(0))
    assert len(capped.held_out) == 50
    assert rows_read.most == 16


def test_only_the_training_films_are_looked_at(demo, halves):
    pixels = demo[0].copy()
    first = fit_gate(FakeRows(pixels), halves[0], np.random.default_rng(3)).arrays()
    pixels[halves[1]] = 7
    second = fit_gate(FakeRows(pixels), halves[0], np.random.default_rng(3)).arrays()
    assert all(np.array_equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------------------------------- stored


def test_stored_and_read_back_it_judges_the_same(gate, demo):
    arrays = gate.arrays()
    again = Gate.from_arrays(arrays)
    assert again.judge(demo[0][:40]) == gate.judge(demo[0][:40])
    assert {name: value.tobytes() for name, value in again.arrays().items()} == {
        name: value.tobytes() for name, value in arrays.items()
    }
    assert again.about == gate.about


def test_it_lives_in_a_bundle(gate, demo, tmp_path):
    from plainfilm.models.bundle import read_bundle, write_bundle

    write_bundle(tmp_path / "x.h5", "model", {f"gate/{k}": v for k, v in gate.arrays().items()}, {})
    again = Gate.from_arrays(read_bundle(tmp_path / "x.h5").group("gate"))
    assert again.judge(demo[0][:9]) == gate.judge(demo[0][:9])


@pytest.mark.parametrize("name", ["shapes_axes", "shapes_spread", "held_out", "reach", "limit", "quantiles", "size"])
def test_damaged_arrays_are_refused(gate, name):
    arrays = gate.arrays()
    for bad in (arrays[name][..., None], np.full(arrays[name].shape, np.nan)):
        with pytest.raises(ValueError, match=name):
            Gate.from_arrays({**arrays, name: bad})
    with pytest.raises(ValueError, match="the gate's arrays are"):
        Gate.from_arrays({k: v for k, v in arrays.items() if k != name})


@pytest.mark.parametrize("name", ["shapes_beside", "reach", "size"])
def test_what_is_divided_by_must_be_above_zero(gate, name):
    arrays = gate.arrays()
    with pytest.raises(ValueError, match="above 0"):
        Gate.from_arrays({**arrays, name: arrays[name] * 0})


def test_an_empty_group_is_refused():
    with pytest.raises(ValueError, match="the gate's arrays are"):
        Gate.from_arrays({})


# ---------------------------------------------------------------------------------------------------- measuring


def test_a_verdict_does_not_depend_on_the_batch(gate, demo):
    together = gate.judge(demo[0][:150])
    alone = [gate.judge(film[None])[0] for film in demo[0][:150:10]]
    assert [v.reason for v in together[::10]] == [v.reason for v in alone]
    assert np.allclose([v.score for v in together[::10]], [v.score for v in alone], atol=0.02)


def test_no_films_no_verdicts(gate):
    assert gate.judge(np.empty((0, SIZE, SIZE), np.uint8)) == []


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 32, 32), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((1, 64, 64))]
)
def test_pixels_of_another_form_are_refused(gate, pixels):
    with pytest.raises(ValueError, match="the gate needs"):
        gate.judge(pixels)


def test_a_constant_picture_is_flagged(gate):
    [verdict] = gate.judge(np.full((1, SIZE, SIZE), 90, np.uint8))
    assert verdict.reason and np.isfinite(verdict.score)


@pytest.mark.parametrize("size", [8, 31, 64, 100, 224])
def test_thumbnails_are_area_averages_in_ranks(size):
    slope = np.repeat(np.linspace(0, 255, size)[None], size, 0).astype(np.uint8)[None]
    [small] = thumbnails(slope)
    assert small.shape == (32, 32)
    assert np.all(np.diff(small[0]) >= 0)
    assert abs(small.mean()) < 1e-6  # ranks are centred whatever the ties
    assert -0.5 < small.min() < small.max() < 0.5


def test_thumbnails_do_not_see_a_monotone_change_and_invert_to_their_negative(demo):
    small = thumbnails(demo[0][:20])
    assert np.allclose(thumbnails(255 - demo[0][:20]), -small, atol=1e-6)
    brighter = thumbnails((demo[0][:20] // 2 + 100).astype(np.uint8))
    assert np.abs(brighter - small).mean() < 0.01


def test_the_distance_counts_each_direction_in_its_own_spread():
    rng = np.random.default_rng(0)
    cloud = rng.normal(0, 0.02, (400, 32, 32))
    cloud[:, 5, 5] += rng.normal(0, 2, 400)
    shapes = Shapes.fit(cloud)
    along, beside = np.zeros((1, 32, 32)), np.zeros((1, 32, 32))
    along[0, 5, 5], beside[0, 9, 9] = 2.0, 2.0
    assert abs(float(np.median(shapes.distance(cloud)))) < 0.5
    assert shapes.distance(beside)[0] > shapes.distance(along)[0] + 1


def test_statistics_are_what_they_say():
    black, half = np.zeros((SIZE, SIZE)), np.where(columns < 0.5, 0, 255)
    values = dict(zip(STATISTICS, statistics(np.stack([black, half]).astype(np.uint8)).T, strict=True))
    assert values["brightness"].tolist() == pytest.approx([0, 0.5])
    assert values["contrast"].tolist() == pytest.approx([0, 0.5])
    assert values["black"].tolist() == [1, 0.5]
    assert values["white"].tolist() == [0, 0.5]
    assert values["greys"].tolist() == pytest.approx([0, 1])  # bits
    assert values["symmetry"].tolist() == pytest.approx([0, -1], abs=1e-4)
    assert values["border"].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_noise_is_sharper_than_a_film_and_a_film_than_its_blur(demo):
    film = demo[0][0]
    blurred = np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(3)))
    three = np.stack([noise(np.random.default_rng(0)).astype(np.uint8), film, blurred])
    sharpness = statistics(three)[:, list(STATISTICS).index("sharpness")]
    assert sharpness[0] > sharpness[1] > sharpness[2]


def test_noise_finer_than_the_detail_looked_at_does_not_count(demo):
    film = np.asarray(Image.fromarray(demo[0][0]).resize((224, 224)))
    noisy = np.clip(film + np.random.default_rng(0).normal(0, 5, film.shape), 0, 255).astype(np.uint8)
    at = list(STATISTICS).index("sharpness")
    plain, more = statistics(np.stack([film, noisy]))[:, at]
    assert more - plain < STATISTICS["sharpness"].tolerance


def test_the_reference_is_the_training_films_quantiles(gate, demo, halves):
    own = statistics(demo[0][halves[0]])
    reference = gate.reference()
    assert list(reference) == list(STATISTICS)
    assert reference["contrast"]["0.5"] == pytest.approx(np.median(own[:, 1]))
    for values in reference.values():
        assert list(values) == [f"{q:g}" for q in QUANTILES]
        assert sorted(values.values()) == list(values.values())


def test_every_limit_has_a_measure_a_direction_and_words():
    assert {limit.measure for limit in LIMITS} == set(MEASURES)
    assert all(limit.sign in (-1, 1) and limit.tolerance > 0 and limit.reason for limit in LIMITS)
    assert len({limit.reason for limit in LIMITS}) == len(LIMITS)


def test_a_gate_written_before_samples_were_kept_still_opens(gate):
    older = {name: value for name, value in gate.arrays().items() if name not in ("sample", "sampled")}
    assert len(Gate.from_arrays(older).sample) == 0


# ---------------------------------------------------------------------------------------------- edges


def stripes(angle: float) -> np.ndarray:
    """Return one film of waves that run at ``angle`` degrees: its gradients have that direction alone."""
    down, across = np.mgrid[:DETAIL, :DETAIL]
    return np.sin((across * np.cos(np.radians(angle)) + down * np.sin(np.radians(angle))) / 3)[None].astype(np.float32)


@pytest.mark.parametrize("step", range(DIRECTIONS))
def test_edges_of_one_direction_fill_its_bin_in_every_part(step):
    histograms = edges(100 * stripes(180 * step / DIRECTIONS)).reshape(PARTS**2, DIRECTIONS)
    assert (histograms.argmax(1) == step).all() and histograms[:, step].min() > 0.9


def test_edges_know_neither_exposure_nor_contrast_nor_sign(demo):
    fine = detail(demo[0][:4])
    for other in (fine + 40, 0.5 * fine, 255 - fine):
        assert np.allclose(edges(other), edges(fine), atol=2e-3)


def test_edges_of_a_part_change_nothing_in_another(demo):
    fine = detail(demo[0][:1])
    changed = fine.copy()
    changed[:, :10, :10] = 0
    moved = np.abs(edges(changed) - edges(fine)).reshape(PARTS**2, DIRECTIONS).max(1) > 1e-6
    assert moved.nonzero()[0].tolist() == [0]


def test_a_part_without_edges_has_none():
    assert not edges(np.full((1, DETAIL, DETAIL), 7, np.float32)).any()


def test_outlines_are_the_edges_and_a_coarse_thumbnail(demo):
    fine, small = detail(demo[0][:2]), thumbnails(demo[0][:2])
    found = outlines(fine, small)
    assert (found[:, : PARTS**2 * DIRECTIONS] == edges(fine)).all()
    coarse = found[:, PARTS**2 * DIRECTIONS :].reshape(2, COARSE, COARSE)
    step = SIDE // COARSE
    assert coarse[1, 3, 5] / coarse[1, 0, 0] == pytest.approx(
        small[1, 3 * step : 4 * step, 5 * step : 6 * step].mean() / small[1, :step, :step].mean(), rel=1e-4
    )


def test_a_gate_that_looked_at_edges_without_the_thumbnail_judges_by_them(gate, demo):
    older = gate.arrays()
    of_edges = slice(None, PARTS**2 * DIRECTIONS)
    older |= {f"edges_{name}": older[f"edges_{name}"][..., of_edges] for name in ("mean", "axes", "beside")}
    films, cloud = demo[0][:20], Leading(*(older[f"edges_{name}"] for name in ("mean", "axes", "spread", "beside")))
    far = cloud.distance(edges(detail(films)))
    older |= {"centre": np.append(older["centre"][:-1], np.median(far)), "reach": np.append(older["reach"][:-1], 1e-6)}
    framed = [verdict.reason == FRAMED for verdict in Gate.from_arrays(older).judge(films)]
    assert framed == (far > np.median(far)).tolist()


def test_films_of_the_middle_of_a_chest_are_flagged_for_their_outlines(gate, demo, halves):
    quarter = SIZE // 4
    middle = (quarter, quarter, SIZE - quarter, SIZE - quarter)
    films = each(lambda film: film.crop(middle).resize((SIZE, SIZE)), demo[0][halves[1]])
    assert flagged(gate, films) > 0.9 and Counter(reasons(gate, films)).most_common(1)[0][0] == FRAMED


def of_old(gate: Gate) -> dict:
    """Return what a gate of before edges were looked at holds otherwise."""
    return {"edges": None, "centre": gate.centre[:-1], "reach": gate.reach[:-1]}


def test_a_gate_written_before_edges_were_looked_at_opens_and_judges(gate, demo):
    older = {name: value for name, value in gate.arrays().items() if not name.startswith("edges_")}
    with pytest.raises(ValueError, match="shape"):
        Gate.from_arrays(older)
    older |= {name: value for name, value in of_old(gate).items() if value is not None}
    again = Gate.from_arrays(older)
    assert again.edges is None and again.arrays().keys() == older.keys()
    assert [verdict.reason for verdict in again.judge(demo[0][:3])] == [None] * 3


# ------------------------------------------------------------------------------- what the network saw


@pytest.fixture(scope="module")
def saw():
    """What a network saw of films: (N, 40) numbers that vary along five directions, and a little beside them."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(5, 40))

    def films(count, off=0.0):
        return (rng.normal(size=(count, 5)) @ directions + 0.1 * rng.normal(size=(count, 40)) + off).astype(np.float32)

    return films


def test_what_the_network_never_saw_is_flagged_and_said(gate, demo, halves, saw):
    pixels = demo[0][halves[1]]
    both = gate.with_insight(saw(1_000), saw(500))
    like, unlike = (both.judge(pixels, saw(len(pixels), off)) for off in (0.0, 1.0))
    assert all(verdict.reason for verdict in unlike) and UNSEEN in {verdict.reason for verdict in unlike}
    assert [v.reason for v in like] == [v.reason for v in both.judge(pixels)]
    assert max(verdict.score for verdict in unlike) < 0.01


def test_false_alarms_are_shared_between_picture_and_network(gate, saw):
    both = gate.with_insight(saw(1_000), saw(5_000))
    far = both.insight.cloud.distance(saw(50_000)) > both.insight.limit
    assert 0.0005 < far.mean() < 0.004  # OF_NETWORK of a hundredth, by 5,000 films
    assert both.limit >= gate.limit


def test_few_validation_films_make_a_wide_limit(saw):
    few = Insight.fit(saw(200), saw(12), 0.005)
    assert few.limit > few.held_out[-1]
    assert (few.cloud.distance(saw(2_000)) > few.limit).mean() < 0.03
    with pytest.raises(ValueError, match="too few"):
        Insight.fit(saw(200), saw(1), 0.005)


def test_insight_is_stored_and_judges_the_same(gate, demo, saw):
    both = gate.with_insight(saw(100), saw(50))
    again, films = Gate.from_arrays(both.arrays()), saw(4, 0.5)
    assert again.judge(demo[0][:4], films) == both.judge(demo[0][:4], films)
    assert again.looked_at == 40 and gate.looked_at == 0
    with pytest.raises(ValueError, match="insight_axes"):
        Gate.from_arrays({**both.arrays(), "insight_axes": np.ones((3, 3))})
    with pytest.raises(ValueError, match="arrays"):
        Gate.from_arrays({k: v for k, v in both.arrays().items() if k != "insight_limit"})


def test_a_film_is_measured_once(gate, demo, monkeypatch):
    taken: Counter[str] = Counter()

    def counted(place, name):
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *given: (taken.update([name]), real(*given))[1])

    for name in ("thumbnails", "detail", "statistics", "outlines"):
        counted(plainfilm.models.gate, name)
    counted(Shapes, "far")
    gate.judge(demo[0][:1])
    assert set(taken.values()) == {1} and len(taken) == 5


def test_what_undoing_would_gain_is_the_difference_of_the_distances(gate, demo):
    for films in (thumbnails(demo[0][:1]), thumbnails(demo[0][:5])):
        own, *gains = gate.shapes.measures(films).T
        assert np.array_equal(own, gate.shapes.distance(films))
        for gain, (sign, turns) in zip(gains, UNDO.values(), strict=True):
            undone = np.ascontiguousarray(sign * np.rot90(films, turns, (1, 2)))
            assert np.array_equal(gain, own - gate.shapes.distance(undone))


@pytest.mark.parametrize(("down", "across"), [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (-1, -1), (1, -1)])
def test_an_edge_has_the_direction_of_its_half_turn(down, across):
    y, x = np.mgrid[:DETAIL, :DETAIL]
    slope = (down * y + across * x).astype(np.float32)[None]
    found = edges(slope).reshape(PARTS**2, DIRECTIONS)
    step = (np.arctan2(down, across) % np.pi) * DIRECTIONS / np.pi
    assert (found.argmax(1) == round(step) % DIRECTIONS).all() and (found.max(1) > 0.99).all()
