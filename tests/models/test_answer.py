from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from plainfilm.data.films import FilmError
from plainfilm.evaluation.decision import Decision
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.answer import Film, alone, answer, blas_alone, look
from plainfilm.models.gate import Verdict
from plainfilm.models.looks import STATISTICS
from plainfilm.models.model import Model


class Fixed(torch.nn.Module):
    """Says the same of every film."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([logits]))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


class Doubting:
    """A gate that has one opinion."""

    def __init__(self, reason):
        self.reason = reason

    def judge(self, pixels, seen=None):
        return [Verdict(0.01, self.reason, (0.0,) * len(STATISTICS))] * len(pixels)


def model(logits=(0.0, 1.0), classes=("NORMAL", "PNEUMONIA"), gate=None, **more):
    return Model(Fixed(list(logits)), "fixed", Decision(classes, classes[-1], **more), Preprocess(size=16), gate=gate)


FILM = Film(np.arange(256, dtype=np.uint8).reshape(16, 16), ())
P = 1 / (1 + np.exp(-1.0))


def test_a_plain_film_has_a_label_and_no_reason():
    found = answer(model(), FILM)
    assert (found.label, found.refer, found.reason, found.gate) == ("PNEUMONIA", False, None, None)
    assert found.probabilities[1] == pytest.approx(P)


def test_threshold_temperature_and_band_are_the_models():
    assert answer(model(threshold=0.8), FILM).label == "NORMAL"
    assert answer(model(temperature=2.0), FILM).probabilities[1] == pytest.approx(1 / (1 + np.exp(-0.5)))
    inside = answer(model(refer=(0.7, 0.75)), FILM)
    assert inside.refer and inside.reason == (
        "the probability of PNEUMONIA, 0.731, is in the band for a reader (0.700 to 0.750)"
    )
    assert not answer(model(refer=(0.74, 0.75)), FILM).refer
    assert model(refer=(0.0, 1.0)).decision.refers(np.array([[0.0, 1.0], [1.0, 0.0]])).all()  # everything is everything


def test_every_reason_is_given():
    found = answer(
        model(refer=(0.0, 1.0), gate=Doubting("upside down")), FILM._replace(remarks=("DICOM header: lateral view",))
    )
    assert found.refer and found.reason.startswith("DICOM header: lateral view; upside down; the probability of")
    assert found.gate.score == 0.01
    assert not answer(model(gate=Doubting(None)), FILM).refer


def test_more_classes_are_scored_by_the_largest():
    three = model((0.0, 2.0, 1.0), ("A", "B", "C"), refer=(0.6, 0.7))
    found = answer(three, FILM)
    assert found.label == "B" and three.decision.score(found.probabilities[None]) == found.probabilities.max()
    assert "the largest probability, 0.665" in found.reason


def test_look_decodes_once_and_refuses_with_a_reason(make_film):
    film = look(model(), make_film(1, True, (40, 30)))
    assert film.pixels.shape == (16, 16) and film.remarks == ()
    with pytest.raises(FilmError, match="not a JPEG"):
        look(model(), b"<html>")


def test_the_threads_of_torch_and_openblas_leave_a_film_alone():
    def threads():
        openblas = ThreadpoolController().select(internal_api="openblas").info()
        return torch.get_num_threads(), {library["num_threads"] for library in openblas}

    before = torch.get_num_threads()
    try:
        with threadpool_limits(2):
            with blas_alone(), ThreadPoolExecutor(1, "film", alone) as pool:
                assert pool.submit(threads).result() in ((1, {1}), (1, set()))  # NumPy may have another BLAS
            assert threads()[1] <= {2}
    finally:
        torch.set_num_threads(before)
