from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from plainfilm.data.films import FilmError
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.bundle import read_bundle, write_bundle
from plainfilm.models.model import Model
from plainfilm.models.vgg import VGG, initialise
from plainfilm.models.zoo import recipe


@pytest.fixture
def model():
    p = Preprocess(size=16)
    network = recipe("vgg-bn").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    return Model(network, "vgg-bn", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", 0.4, 1.5), p, {"epoch": 3})


def test_paths_bytes_arrays_and_stored_pixels_agree(model, tmp_path, make_film):
    data = [make_film(i, bool(i % 2)) for i in range(5)]
    for i, film in enumerate(data):
        (tmp_path / f"{i}.jpeg").write_bytes(film)
    from_bytes = model.predict_proba(data)
    assert from_bytes.shape == (5, 2) and np.allclose(from_bytes.sum(1), 1)
    paths = [tmp_path / f"{i}.jpeg" for i in range(5)]
    assert np.array_equal(model.predict_proba(paths), from_bytes)
    assert np.array_equal(model.predict_proba([decode(d) for d in data]), from_bytes)
    stored = np.stack([model.preprocess.pixels(decode(d)) for d in data])
    assert np.array_equal(model.probabilities(stored), from_bytes)
    one_by_one = np.concatenate([model.predict_proba([d]) for d in data])
    assert np.abs(one_by_one - from_bytes).max() <= 1e-6


def test_save_and_load_give_the_same_answers_and_the_same_bytes(model, tmp_path, make_film):
    model.save(tmp_path / "model.h5")
    again = Model.load(tmp_path)
    film = [make_film(1, True)]
    assert np.array_equal(again.predict_proba(film), model.predict_proba(film))
    assert (again.threshold, again.decision.temperature, again.provenance, again.classes) == (
        0.4,
        1.5,
        {"epoch": 3},
        model.classes,
    )
    again.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "model.h5").read_bytes()
    assert len(again.hash) == 64


def test_threshold_decides_for_two_classes_and_the_largest_for_more():
    p = np.array([[0.7, 0.3], [0.6, 0.4], [0.5, 0.5]])
    assert Decision(("a", "b"), "b", 0.4).decide(p).tolist() == [0, 1, 1]
    assert Decision(("a", "b"), "a", 0.65).decide(p).tolist() == [0, 1, 1]
    assert Decision(("a", "b", "c"), "a", 0.1).decide(np.array([[0.2, 0.5, 0.3]])).tolist() == [1]


def test_predict_speaks_scikit_learn(model, make_film):
    film = [make_film(1, True), make_film(2, False)]
    assert list(model.classes_) == ["NORMAL", "PNEUMONIA"]
    assert set(model.predict(film)) <= set(model.classes_)
    assert model.predict_proba([]).shape == (0, 2)


def test_what_is_no_film(model):
    with pytest.raises(FilmError):
        model.predict_proba([b"no film"])
    with pytest.raises(InputError, match="uint8"):
        model.predict_proba([np.zeros((4, 4, 3))])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"about": {"model": "vgg"}}, "does not fit together"),
        ({"about": {"classes": ["A", "B", "C"]}}, "has another shape"),
        ({"about": {"classes": ["B", "A"], "positive": "C"}}, "out of range"),
        ({"about": {"threshold": 2}}, "out of range"),
        ({"about": {"threshold": "x"}}, "does not fit together"),
        ({"about": {"preprocess": {"size": 32}}}, "has another shape"),
        ({"about": {"preprocess": {"sized": 32}}}, "does not fit together"),
        ({"about": {"model": "nothing"}}, "There is no model 'nothing'"),
        ({"nan": True}, "not finite"),
    ],
)
def test_files_that_do_not_fit_together(model, tmp_path, change, said):
    model.save(tmp_path / "model.h5")
    bundle = read_bundle(tmp_path / "model.h5")
    arrays = dict(bundle.arrays)
    if "nan" in change:
        arrays["weights/head.0.bias"] = np.full(512, np.nan, np.float32)
    write_bundle(tmp_path / "model.h5", "model", arrays, {**bundle.about, **change.get("about", {})})
    with pytest.raises(InputError, match=said):
        Model.load(tmp_path / "model.h5")


def test_temperature_softens(model, make_film):
    film = [make_film(1, True)]
    cold = replace(model, decision=replace(model.decision, temperature=1.0)).predict_proba(film)
    hot = replace(model, decision=replace(model.decision, temperature=100.0)).predict_proba(film)
    assert np.abs(hot - 0.5).max() < np.abs(cold - 0.5).max()


def test_a_folder_of_runs_names_one_and_a_gate_of_another_size_is_refused(model, tmp_path):
    (tmp_path / "fold-0").mkdir()
    model.save(tmp_path / "fold-0" / "model.h5")
    with pytest.raises(InputError, match=rf"holds 1 models; name one of them, such as {tmp_path}/fold-0"):
        Model.load(tmp_path)


def test_a_network_is_not_made_before_its_arrays_fit(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model.h5")
    bundle = read_bundle(tmp_path / "model.h5")
    write_bundle(tmp_path / "model.h5", "model", bundle.arrays, {**bundle.about, "preprocess": {"size": 2048}})
    made, begin = [], VGG.__init__
    monkeypatch.setattr(
        VGG, "__init__", lambda *a, **how: (made.append(torch.get_default_device().type), begin(*a, **how))[1]
    )
    with pytest.raises(InputError, match="has another shape than its network"):
        Model.load(tmp_path / "model.h5")
    assert made == ["meta"]
