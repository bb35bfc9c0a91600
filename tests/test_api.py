"""The five lines of the README, and what is public."""

from __future__ import annotations

import numpy as np
import pytest

import plainfilm as pf
from plainfilm.data.split import crossing
from plainfilm.errors import InputError


def test_the_five_lines(tmp_path, films_folder, make_film):
    films = pf.split(pf.load(films_folder), "grouped", seed=0)
    assert crossing(films)["patients"] == 0
    run = pf.train(films, model="vgg-bn", out=tmp_path / "bn", epochs=1, size=16)
    scores = pf.evaluate(run)
    assert 0 <= scores["test"]["accuracy"]["value"] <= 1
    model = pf.Model.load(run / "model.h5")
    assert model.predict_proba([make_film(1, True)]).shape == (1, 2)
    assert np.array_equal(model.classes, ("NORMAL", "PNEUMONIA")) and model.threshold == 0.5
    assert model.provenance["protocol"] == "patients separate"


def test_a_wrong_name_says_which_is_near(films_folder, tmp_path):
    with pytest.raises(InputError, match="Did you mean 'epochs'"):
        pf.train(str(films_folder), out=tmp_path / "x", epoch=3)
    with pytest.raises(AttributeError):
        pf.nothing  # noqa: B018


def test_all_names_exist():
    assert all(hasattr(pf, name) for name in pf.__all__)
