"""Heat maps and their checks on real architectures of timm, with random weights: no network is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.explain.checks import check_films
from plainfilm.explain.heatmaps import METHODS, heat_map, watched
from plainfilm.image.preprocess import Preprocess
from plainfilm.models import backbones
from plainfilm.models.model import Model

try:
    backbones.side("test_vit")
except InputError as missing:
    pytest.skip(str(missing), allow_module_level=True)

SIZE = 64
GRIDS = {  # cells a side: patches of 16 pixels; four halvings more of a pyramid; windows
    "test_vit": 4,  # a class token is read
    "test_vit3": 4,  # attention over the patches is read
    "test_convnext": 2,
    "vit_tiny_patch16_224": 4,
    "swin_tiny_patch4_window7_224": 2,
}
SMALL = {"swin_tiny_patch4_window7_224": {"embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)}}


def model_of(name: str, monkeypatch) -> Model:
    timm = backbones._timm()
    monkeypatch.setattr(backbones, "_timm", lambda: timm)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: create(*a, **k, **SMALL.get(name, {})))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        preprocess = Preprocess(size=SIZE, scaling="unit")
        network = backbones.build(name, 0, 2, preprocess).eval()
    return Model(network, f"timm:{name}-ft", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), preprocess)


@pytest.mark.parametrize("name", GRIDS)
def test_a_real_architecture_has_maps_and_passes_through_all_checks(name, monkeypatch):
    model = model_of(name, monkeypatch)
    films = np.random.default_rng(0).integers(0, 255, (2, SIZE, SIZE), dtype=np.uint8)
    for method in METHODS:
        one, other = (heat_map(model, films, target, method) for target in (0, 1))
        assert one.shape == (2, GRIDS[name], GRIDS[name]) and np.isfinite(one).all() and one.min() >= 0
        assert (one + other).max((1, 2)) == pytest.approx(1)
        assert not (one * other).any()  # two classes: what speaks for one speaks against the other
    assert not any(m._forward_hooks for m in model.network.modules())
    if kept := watched(model):
        assert all(map(np.array_equal, kept.answered(films[:1]), model.answered(films[:1])))
        assert np.array_equal(heat_map(kept, films[:1], 1), heat_map(model, films[:1], 1))
    target = np.array([int(other[0].any())])
    (found,) = check_films(model, films[:1], target, METHODS[0], np.random.default_rng(0), lambda: None)
    assert -1 <= found.randomised_all < 0.9 and -1 <= found.randomised_head <= 1 and 0 <= found.blank <= 1
