from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from plainfilm.evaluation.intervals import Interval
from plainfilm.evaluation.referral import RiskCoverage
from plainfilm.report import figures, forest, network, plots

UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))
LONG = "Bacterial pneumonia of the right lower lobe & <others>"


def texts(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def words(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in texts(figure))


def history(epochs: int) -> list[dict[str, float]]:
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return [{"epoch": e + 1.0} | {key: 0.5 + 0.01 * e for key in keys} for e in range(epochs)]


def film(number: int, right: bool, name: str = "PNEUMONIA") -> tuple[Any, ...]:
    pixels = np.random.default_rng(number).integers(0, 255, (40, 52)).astype(np.uint8)
    return pixels, name, "0.930", name if right else "NORMAL", f"some/person{number}_bacteria_{number}.jpeg"


def curve(title: str, area: float = 0.99) -> plots.Curve:
    x = np.array([0.0, 0.0, 0.1, 1.0])
    threshold = np.array([np.inf, 0.8, 0.5, 0.1])
    return plots.Curve(title, x, np.array([0.0, 0.8, 0.95, 1.0]), threshold, Interval(area, area - 0.01, area), 0.5)


def forest_row(model: str, note: str = "", **changes: Any) -> dict[str, Any]:
    row = {"model": model, "score": "Accuracy", "value": 0.95, "low": 0.93, "high": 0.96, "paper": 0.95, "note": note}
    return row | changes


def kept(title: str, band: bool = True) -> plots.Kept:
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    return plots.Kept(
        title, RiskCoverage(shares, np.array([0.0, 0.0, 0.02, 0.05]), 0.02), (0.75, 0.02) if band else None
    )


def net_benefit() -> dict[str, Any]:
    at = np.arange(1, 100) / 100
    return {"threshold": at, "model": 0.4 - 0.2 * at, "treat_all": 0.5 - 0.5 * at / (1 - at), "treat_none": 0 * at}


def every_figure(network_layers: list[dict[str, Any]]) -> dict[str, Figure]:
    bins = [{"n": 10, "mean_predicted": p, "observed": p, "low": p / 2, "high": 1.0} for p in (0.0, 0.5, 1.0)]
    return {
        "network": network.network(network_layers, LONG, (3, 16, 16)),
        "curves one": plots.curves({"CNN": history(2)}),
        "curves three": plots.curves({LONG: history(30), "b": history(30), "c": history(1)}),
        "decision": plots.decision(net_benefit(), 0.4),
        "risk and coverage": plots.risk_coverage([kept("validation"), kept("test")]),
        "rows": forest.rows(
            {LONG: [forest.Row(LONG, Interval(0.9, 0.8, 0.95), True)], "b": []}, 0.9, "Score", "lowest"
        ),
        "strip": forest.strip([forest.Spread(LONG, [0.9, 0.8], Interval(0.85, 0.8, 0.9))]),
        "montage": figures.montage([film(i, i % 3 > 0, LONG) for i in range(8)], 6),
        "montage one": figures.montage([film(0, True)], 6),
        "confusion": plots.confusion(np.array([[300, 20], [0, 0]]), ["NORMAL", LONG]),
        "confusion 5": plots.confusion(np.eye(5, dtype=np.int64), [LONG] * 5),
        "roc": plots.roc([curve("CNN"), curve(LONG)]),
        "precision_recall": plots.precision_recall([curve("CNN", 0.5)], 0.7),
        "reliability": plots.reliability(bins, UNKNOWN),
        "grid_search": plots.grid_search({1e-7: 0.9, 1e-6: 0.95, 1e-5: 0.94}, 1e-6),
        "grid_search one": plots.grid_search({1.0: 0.9}, 1.0),
        "intervals": forest.intervals([forest_row(LONG), forest_row("b", note="did not learn", paper=None)]),
    }


def test_no_letter_is_below_nine_points_and_none_is_cut_off(network_layers: list[dict[str, Any]]) -> None:
    for name, figure in every_figure(network_layers).items():
        assert min(text.get_fontsize() for text in texts(figure)) >= 9, name
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert drawn.x0 >= -0.01 and drawn.y0 >= -0.01, name
        assert drawn.x1 <= width + 0.01 and drawn.y1 <= height + 0.01, name


def test_names_under_neighbouring_blocks_do_not_touch(network_layers: list[dict[str, Any]]) -> None:
    figure = network.network(network_layers * 3, "CNN", (3, 16, 16))
    boxes = [t.get_window_extent() for t in texts(figure)]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart


def test_vgg16_fits_on_a_page_with_every_layer_named() -> None:
    rows = []
    for size, channels, convolutions in ((224, 64, 2), (112, 128, 2), (56, 256, 3), (28, 512, 3), (14, 512, 3)):
        for _ in range(convolutions):
            rows.append({"kind": "Conv2d", "shape": [channels, size, size], "parameters": 2359808, "detail": "3×3"})
            rows.append({"kind": "ReLU", "shape": [channels, size, size], "parameters": 0, "detail": ""})
        rows.append({"kind": "MaxPool2d", "shape": [channels, size // 2, size // 2], "parameters": 0, "detail": "2×2"})
    figure = network.network(rows, "VGG16", (3, 224, 224))
    said = words(figure)
    assert figure.get_size_inches()[0] <= 7.5 and figure.get_size_inches()[1] <= 10
    assert said.count("CONV 3×3") == 13 and said.count("ReLU") == 13 and said.count("POOL 2×2") == 5
    assert "SOFTMAX" in said and "INPUT" in said and "14×14×512" in said


def test_an_ensembles_networks_stand_one_under_the_other(network_layers: list[dict[str, Any]]) -> None:
    both = [{**layer, "name": f"networks.{n}.{i}"} for n in (0, 1) for i, layer in enumerate(network_layers)]
    blocks = network._blocks(both, (1, 16, 16))
    assert [b.words for b in blocks if b.kinds[0] == "INPUT"] == [["INPUT", "of no. 1"], ["INPUT", "of no. 2"]]
    rows = network._rows(blocks)
    assert sum(row[0].kinds == ["INPUT"] for row in rows) == 2 and rows[-1][-1].kinds == ["MEAN"]
    assert sum(b.kinds == ["SOFTMAX"] for row in rows for b in row) == 2
    network.network(both, "two", (1, 16, 16))


def test_network_names_layers_as_the_paper_does_and_counts_parameters(network_layers: list[dict[str, Any]]) -> None:
    said = words(network.network(network_layers, "CNN", (3, 16, 16)))
    for name in ("CONV 3×3", "ReLU", "BN", "POOL 2×2", "DROPOUT", "p = 0.25", "FLATTEN", "DENSE", "SOFTMAX"):
        assert name in said
    assert "1,266 parameters" in said  # 224 + 16 + 1,026
    assert "16×16×8" in said and "512" in said


def test_curves_share_their_axes_and_write_out_the_last_values() -> None:
    high = [{**row, "train_loss": 2.0, "val_accuracy": 0.123} for row in history(4)]
    figure = plots.curves({"a": history(30), "b": high})
    loss_a, accuracy_a, loss_b, accuracy_b = figure.axes
    assert loss_a.get_ylim() == loss_b.get_ylim() and accuracy_a.get_ylim() == accuracy_b.get_ylim()
    assert loss_a.get_xlim() == accuracy_b.get_xlim()
    assert {"2.000", "0.123", "0.790"} <= {t.get_text() for t in texts(figure)}
    styles = [(line.get_linestyle(), line.get_marker()) for line in loss_a.get_lines()]
    assert len(set(styles)) == 2  # told apart in grey


def test_labels_of_equal_last_values_are_moved_apart() -> None:
    figure = plots.curves({"a": history(3)})
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert len(boxes) == 2 and (boxes[0].y0 >= boxes[1].y1 - 1 or boxes[1].y0 >= boxes[0].y1 - 1)


def test_curves_survive_a_loss_that_is_not_finite() -> None:
    rows = history(3)
    rows[1]["val_loss"] = float("inf")
    assert np.isfinite(plots.curves({"a": rows}).axes[0].get_ylim()).all()


def test_montage_says_right_or_wrong_in_words_and_in_the_frame() -> None:
    figure = figures.montage([film(0, True), film(1, False)], 6)
    said = words(figure)
    assert "1 of 2 films right" in said and "✓ right\n0.930" in said and "✗ WRONG\n0.930" in said
    assert "PNEUMONIA" in said and "is NORMAL" in said and "person1_" in said
    right, wrong = (axes.spines["left"] for axes in figure.axes)
    assert wrong.get_linewidth() >= 3 * right.get_linewidth() and wrong.get_linestyle() != right.get_linestyle()


def test_montage_says_whose_probability_it_is_and_keeps_it_within_its_film() -> None:
    tiles = [(*film(i, True)[:2], "0.967 ≥ 0.631", *film(i, True)[3:]) for i in range(12)]
    figure = figures.montage(tiles, 6, of="PNEUMONIA")
    assert "probability of PNEUMONIA, threshold, prediction" in words(figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        (text,) = [text for text in axes.texts if "≥" in text.get_text()]
        assert text.get_window_extent().x1 <= axes.get_window_extent().x1


def test_montage_of_thirty_films_is_a_page_without_touching_words() -> None:
    figure = figures.montage([film(i, i % 4 > 0) for i in range(30)], 6)
    assert figure.get_size_inches()[1] < 11.5
    figure.draw_without_rendering()
    first_row = [[t.get_window_extent() for t in axes.texts] for axes in figure.axes[:6]]
    for left, right in itertools.pairwise(first_row):
        assert max(box.x1 for box in left) < min(box.x0 for box in right)


def test_roc_marks_the_threshold_in_use_and_enlarges_the_corner_of_good_curves() -> None:
    good, poor = plots.roc([curve("CNN")]), plots.roc([curve("CNN", 0.7)])
    assert len(good.axes[0].child_axes) == 1 and not poor.axes[0].child_axes
    marks = [line for line in poor.axes[0].get_lines() if line.get_marker() == "o"]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in marks] == [(0.1, 0.95)]
    assert "0.700 (0.690–0.700)" in words(poor)


@pytest.mark.parametrize("pooled", [None, Interval(0.97, 0.96, 0.98)])
def test_the_corner_is_not_enlarged_where_the_curve_does_not_pass_it(pooled: Interval | None) -> None:
    """The mean over folds was .96, the curve of all their films ran past the corner: an empty inset."""
    beside = curve("folds")._replace(x=np.array([0, 0.15, 0.15, 1]), y=np.array([0, 0.7, 1.0, 1.0]), pooled=pooled)
    assert not plots.roc([beside]).axes[0].child_axes
    below = curve("folds")._replace(pooled=Interval(0.8, 0.7, 0.9))
    assert not plots.roc([below]).axes[0].child_axes


def test_a_curve_of_all_folds_is_named_with_its_own_area_and_with_the_mean() -> None:
    both = curve("folds")._replace(pooled=Interval(0.912, 0.9, 0.92))
    for figure in (plots.roc([both]), plots.precision_recall([both], 0.5)):
        assert "of this curve 0.912 (0.900–0.920)\nmean of the folds 0.9" in words(figure)


def test_a_threshold_outside_the_enlarged_corner_does_not_squeeze_the_figure(tmp_path: Path) -> None:
    """A model that calls every film the same class marks (0, 0) or (1, 1), far outside the corner."""
    for threshold in (-1.0, 2.0):
        figures.save(plots.roc([curve("CNN")._replace(threshold=threshold)]), tmp_path, "roc")  # warnings are errors
        assert b"</svg>" in (tmp_path / "roc.svg").read_bytes()


def test_more_models_than_colours_are_all_drawn() -> None:
    figure = plots.roc([curve(f"model {i}") for i in range(8)])
    assert all(f"model {i}" in words(figure) for i in range(8))


def test_a_model_that_did_not_learn_is_marked_in_the_forest_plot() -> None:
    figure = forest.intervals([forest_row("CNN", "did not learn: one class predicted (X)"), forest_row("b")])
    assert "did not learn: one class predicted (X)" in words(figure)
    markers = [line.get_marker() for line in figure.axes[0].get_lines()]
    assert "X" in markers and "o" in markers


def test_a_score_that_was_not_done_is_said_so_in_the_forest_plot() -> None:
    nothing = float("nan")
    figure = forest.intervals([forest_row("CNN", value=nothing, low=nothing, high=nothing, paper=None)])
    assert "not done" in words(figure)


@pytest.mark.parametrize("name", ["$x_1$ & <b>", "film\n\t2", "胸部.jpeg", "\udcff\udcfe.png", "x" * 300, ""])
def test_any_name_can_be_drawn_without_a_warning(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = np.zeros((4, 4), np.uint8)
        figure = figures.montage([(pixels, name, "0.500", name, name)], 2)
        figures.save(figure, tmp_path, "montage")
        figures.save(plots.confusion(np.eye(2, dtype=np.int64), [name, "b"]), tmp_path, "confusion")
        figures.save(forest.intervals([forest_row(name)]), tmp_path, "intervals")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {
        f"{figure}.{kind}" for figure in ("montage", "confusion", "intervals") for kind in figures.KINDS
    }
    assert min(sizes.values()) > 1000  # none is an empty page


def test_the_middle_of_a_long_name_is_left_out() -> None:
    assert figures.label("abcdefghij", 5) == "ab…ij"
    assert figures.label("abcde", 5) == "abcde"
    assert len(figures.label("x" * 300, 7)) == 7


def test_saving_twice_gives_the_same_bytes_and_no_date(tmp_path: Path, network_layers: list[dict[str, Any]]) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        figures.save(plots.curves({"CNN": history(3)}), folder, "curves")
        figures.save(network.network(network_layers, "CNN", (3, 16, 16)), folder, "network")
    for name in ("curves.png", "curves.svg", "curves.pdf", "network.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    svg = (tmp_path / "a" / "curves.svg").read_text()
    assert "<text" in svg and ">Epoch</text>" in svg  # text as text; the page has outlines
    assert b"<text" not in figures.outlined(plots.curves({"CNN": history(3)}))
    assert 174 <= 25.4 * figures.WIDE <= 180 and 85 <= 25.4 * figures.NARROW <= 90  # millimetres of a journal's columns
    assert "dc:date" not in svg and not re.search(r"Matplotlib v", svg)
    with Image.open(tmp_path / "a" / "curves.png") as image:
        assert round(image.info["dpi"][0]) == 300


def test_drawing_changes_no_setting_of_the_user_and_needs_no_pyplot() -> None:
    before = dict(mpl.rcParams)
    plots.confusion(np.eye(2, dtype=np.int64), ["a", "b"])
    assert dict(mpl.rcParams) == before
    sources = Path(figures.__file__).parent.glob("*.py")
    assert [path.name for path in sources if "pyplot" in path.read_text()] == []


def test_the_decision_curve_marks_the_threshold_in_use_on_the_models_line() -> None:
    figure = plots.decision(net_benefit(), 0.4)
    (mark,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert (mark.get_xdata()[0], round(float(mark.get_ydata()[0]), 9)) == (0.4, 0.32)
    assert "threshold in use" not in words(plots.decision(net_benefit(), None))


def test_risk_and_coverage_without_a_band_has_no_marker() -> None:
    assert "with the refer band" not in words(plots.risk_coverage([kept("test", band=False)]))
    assert words(plots.risk_coverage([kept("validation"), kept("test")])).count("with the refer band") == 2


def test_rows_mark_the_one_and_write_every_score() -> None:
    some = [forest.Row("a", Interval(0.9, 0.8, 0.95)), forest.Row("b", UNKNOWN, True)]
    said = words(forest.rows({"kind": some}, 0.5, "Score", "the lowest"))
    assert "0.900 (0.800–0.950)" in said and "undefined" in said and "the lowest" in said
    assert "the lowest" not in words(forest.rows({"kind": some[:1]}, None, "Score", "the lowest"))


def test_a_strip_says_mean_and_standard_deviation_of_what_is_known() -> None:
    said = words(forest.strip([forest.Spread("AUROC", [0.8, 0.9, float("nan")], UNKNOWN)]))
    assert "mean 0.850, SD 0.071" in said and "pooled" not in said
    assert "undefined" in words(forest.strip([forest.Spread("AUROC", [0.8], UNKNOWN)]))


def test_a_film_that_goes_to_a_reader_looks_so_in_the_montage():
    film = (np.zeros((20, 20), np.uint8), "PNEUMONIA", "> 0.999", None, "flower.png")
    marks = [figures.mark_of(unusual, refer) for unusual, refer in ((False, False), (False, True), (True, True))]
    assert marks == ["", figures.READER, figures.UNUSUAL]  # the page says the same of the same films
    for mark in marks:
        said = [text.get_text() for axes in figures.montage([(*film, mark)]).axes for text in axes.texts]
        assert [word for word in (figures.UNUSUAL, figures.READER) if f"⚠ {word}" in said] == [mark] * bool(mark)


def test_no_lone_digit_of_a_name_stands_on_a_line_of_its_own():
    for name in ("CHNCXR_0001_0", "CHNCXR_0327_1", "person407_virus_814", "IM-0115-0001", "ABCDEFGHIJKLM", "x" * 60):
        for width in np.arange(0.6, 1.6, 0.05):
            lines = figures.two_lines(name, width)
            assert len(lines) == 1 or len(lines[1]) >= 3, (name, width, lines)
    assert figures.two_lines("CHNCXR_0001_0", 1.0)[0] == "CHNCXR_"
