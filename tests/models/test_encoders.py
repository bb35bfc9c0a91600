"""Encoders trained on chest films: each publisher's layout, written with random values, against the publisher's own
architecture as a package has it. The files themselves are large and are not read here."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

from plainfilm.catalogue import ENCODERS
from plainfilm.commands.train import train
from plainfilm.errors import InputError
from plainfilm.models import encoders
from plainfilm.models.backbones import put_timm
from plainfilm.models.model import Model
from plainfilm.models.pretrained import pretrained
from plainfilm.models.zoo import recipe

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")
SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}  # of a transformer, everything else as published
TRANSFORMERS = ("medical-mae-s", "medical-mae-b", "eva-x-ti", "eva-x-s", "eva-x-b", "rad-dino", "stanford-dinov2-b")


@pytest.fixture
def small(monkeypatch):
    """The transformers with two narrow blocks."""
    for name in TRANSFORMERS:
        own = ENCODERS[name]
        monkeypatch.setitem(ENCODERS, name, replace(own, built={**own.built, **SMALL}, size=own.size // 7, sha256=""))


def randomised(network: nn.Module) -> nn.Module:
    """Values that no default has, so that one in the wrong place shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.2, 0.2)
                value.uniform_(low, high, generator=generator)
                value += name.endswith(("norm1.weight", "norm2.weight", "norm.weight"))
    return network.eval()


def films(name: str, count: int = 2) -> torch.Tensor:
    """Grey values 0..1 as ``Preprocess`` gives them."""
    own = recipe(f"cxr:{name}-lr").preprocess
    grey = torch.rand(count, 1, own.size, own.size, generator=torch.Generator().manual_seed(1))
    return grey.expand(-1, own.channels, -1, -1)


def features_of(name: str, file: object, x: torch.Tensor) -> torch.Tensor:
    """What our network gives, with the values of ``file``."""
    found = recipe(f"cxr:{name}-lr")
    network = found.build(2, found.preprocess).eval()
    source = pretrained(found.pretrained)
    source.put(network, source.load(file).arrays)
    with torch.no_grad():
        return network.forward_features(x)


def scaled(name: str, x: torch.Tensor) -> torch.Tensor:
    mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in (ENCODERS[name].mean, ENCODERS[name].deviation))
    return (x - mean) / deviation


# -- TorchXRayVision and medical MAE's DenseNet: torchvision's DenseNet-121 -------------------------------------------


def grey_densenet() -> nn.Module:
    network = torchvision.models.densenet121(num_classes=18)
    network.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return randomised(network)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_torchxrayvisions_densenet_in_every_way_that_torch_keeps_it(zipped, whole, tmp_path):
    network = grey_densenet()
    file = tmp_path / "model.pt"
    torch.save(network if whole else network.state_dict(), file, _use_new_zipfile_serialization=zipped)
    x = films("xrv-densenet121")
    grey = (x * 255).numpy()
    with torch.no_grad():  # torchxrayvision.utils.normalize, then DenseNet.features2
        maps = network.features(torch.from_numpy((2 * (grey / 255) - 1.0) * 1024))
        expected = F.relu(maps).mean((2, 3))
    assert torch.allclose(features_of("xrv-densenet121", file, x), expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_medical_maes_densenet_within_its_unet(tmp_path):
    network = randomised(torchvision.models.densenet121())
    state = {f"model.encoder.{name}": value for name, value in network.state_dict().items() if "classifier" not in name}
    state |= {"model.decoder.blocks.0.conv1.0.weight": torch.zeros(4, 4, 3, 3)}
    torch.save({"model": state, "epoch": 800}, tmp_path / "densenet121_CXR_0.3M_mae.pth")
    x = films("medical-mae-densenet121")
    with torch.no_grad():
        expected = F.relu(network.features(scaled("medical-mae-densenet121", x))).mean((2, 3))
    found = features_of("medical-mae-densenet121", tmp_path / "densenet121_CXR_0.3M_mae.pth", x)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


# -- medical MAE's transformers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["medical-mae-s", "medical-mae-b"])
def test_medical_maes_transformer(name, small, tmp_path):
    reference = randomised(
        timm.models.VisionTransformer(
            img_size=ENCODERS[name].size, patch_size=16, num_classes=0, norm_layer=nn.LayerNorm, **SMALL
        )
    )
    state = dict(reference.state_dict())  # He's own code keeps the encoder's norm under this name too
    state |= {"mask_token": torch.zeros(1, 1, 9), "decoder_embed.weight": torch.zeros(9, 48)}
    torch.save({"model": state, "args": argparse.Namespace(), "optimizer": {}}, tmp_path / "x.pth")
    x = films(name)
    with torch.no_grad():  # models_vit.py with global_pool: the mean of the patches, then the norm
        tokens = reference.patch_embed(scaled(name, x))
        tokens = torch.cat([reference.cls_token.expand(len(x), -1, -1), tokens], 1) + reference.pos_embed
        expected = reference.norm(reference.blocks(tokens)[:, 1:].mean(1))
    assert torch.allclose(features_of(name, tmp_path / "x.pth", x), expected, atol=1e-4)


# -- EVA-X ------------------------------------------------------------------------------------------------------------


def by_eva02s_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of baaivision/EVA's own code, in place of timm's."""
    own = OrderedDict()
    for name, value in state.items():
        for ours, theirs in (
            ("fc_norm.", "norm."),
            (".mlp.norm.", ".mlp.ffn_ln."),
            (".mlp.fc1.", ".mlp.w12."),
            (".mlp.fc1_g.", ".mlp.w1."),
            (".mlp.fc1_x.", ".mlp.w2."),
            (".mlp.fc2.", ".mlp.w3."),
            (".q_proj.bias", ".q_bias"),
            (".v_proj.bias", ".v_bias"),
        ):
            name = name.replace(ours, theirs)
        own[name] = value
    own |= {"mask_token": torch.zeros(1, 1, 48), "lm_head.weight": torch.zeros(9, 48), "rope.freqs_cos": torch.ones(4)}
    return own


@pytest.mark.parametrize("name", ["eva-x-ti", "eva-x-s", "eva-x-b"])
def test_evas_transformer(name, small, tmp_path):
    own = ENCODERS[name]
    large = {"qkv_fused": False, "scale_mlp": True} if name == "eva-x-b" else {}
    shape = {"mlp_ratio": 4 * 2 / 3, "swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (14, 14)}
    reference = randomised(  # eva_x.py: timm's Eva, built as there
        timm.models.Eva(img_size=own.size, patch_size=16, num_classes=0, **SMALL, **shape, **large)
    )
    state = by_eva02s_names(reference.state_dict())
    torch.save({"module": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}}}, tmp_path / "x.pt")
    x = films(name)
    with torch.no_grad():
        expected = reference(scaled(name, x))
    assert torch.allclose(features_of(name, tmp_path / "x.pt", x), expected, atol=1e-4)


# -- RAD-DINO and Stanford's: transformers' DINOv2 ---------------------------------------------------------------------


@pytest.fixture
def dinov2():
    transformers = pytest.importorskip("transformers", reason="the reference of DINOv2; it is in the extra `test`")

    def build(size: int, **more: int) -> nn.Module:
        wanted = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, **more}
        return transformers.Dinov2Model(transformers.Dinov2Config(image_size=size, patch_size=14, **wanted))

    return build


@pytest.mark.parametrize("written", ["by transformers", "by its fifth version's names"])
@pytest.mark.parametrize("name", ["rad-dino", "stanford-dinov2-b"])
def test_dinov2_of_transformers(name, written, small, dinov2, tmp_path):
    size = ENCODERS[name].size // 14 * 14
    ENCODERS[name] = replace(ENCODERS[name], size=size)
    reference = randomised(dinov2(size))
    if written == "by transformers":
        reference.save_pretrained(tmp_path)
    else:
        state = {name: np.ascontiguousarray(v.numpy()) for name, v in reference.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors")
    x = films(name)
    with torch.no_grad():
        expected = reference(scaled(name, x)).pooler_output  # the class token behind the last norm
    assert torch.allclose(features_of(name, tmp_path / "model.safetensors", x), expected, atol=1e-4)


def test_places_of_patches_are_drawn_out_for_a_larger_film(small, dinov2, tmp_path):
    """As DINOv2 does it, bicubic; the two differ in how they lay the new grid over the old one, by little."""
    reference = dinov2(56)
    smooth = torch.linspace(-1, 1, 16).view(1, 16, 1).expand(-1, -1, 48)  # what is drawn out must be smooth to compare
    with torch.no_grad():
        reference.embeddings.position_embeddings[:, 1:] = smooth
    reference.save_pretrained(tmp_path)
    found = recipe("cxr:stanford-dinov2-b-lr")
    p = replace(found.preprocess, size=112)
    network = found.build(2, p).eval()
    put_timm(network, encoders.load("stanford-dinov2-b", tmp_path / "model.safetensors").arrays)
    x = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference.eval()(scaled("stanford-dinov2-b", x), interpolate_pos_encoding=True).pooler_output
        difference = (network.forward_features(x) - expected).abs().max() / expected.abs().max()
    assert network.features.pos_embed.shape[1] == 65 and difference < 0.02


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_at_full_size_the_layout_names_every_array(name, dinov2):
    """Names and shapes only, as the published architectures have them; no memory is taken."""
    own = ENCODERS[name]
    with torch.device("meta"):
        network = recipe(f"cxr:{name}-ft").build(2, recipe(f"cxr:{name}-ft").preprocess)
        if own.layout == "dinov2":
            given = dinov2(own.size, hidden_size=768, num_hidden_layers=12, num_attention_heads=12).state_dict()
        elif own.layout == "mae":
            given = timm.create_model(own.network, num_classes=0).state_dict()
        else:
            given = by_eva02s_names(network.features.state_dict())
    arrays = {key: np.broadcast_to(np.float32(0), tuple(value.shape)) for key, value in given.items()}
    renamed = encoders.renamed(arrays, own.layout)
    for key, value in network.features.state_dict().items():
        assert renamed[key].shape == tuple(value.shape), key


def test_only_a_file_with_a_known_checksum_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path))
    monkeypatch.setenv("PLAINFILM_OFFLINE", "1")
    with pytest.raises(InputError, match=r"no file is fetched whose checksum is not known: bring it from http"):
        encoders.load("rad-dino")
    with pytest.raises(InputError, match=r"PLAINFILM_OFFLINE is set.*xrv-densenet121\.pt into"):
        encoders.load("xrv-densenet121")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "xrv-densenet121.pt").write_bytes(b"something else")
    with pytest.raises(InputError, match="is not the published file"):
        encoders.load("xrv-densenet121")


def test_a_folder_holds_them_by_name_and_a_name_that_any_file_has_is_not_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAINFILM_WEIGHTS", str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"any network's")
    assert encoders.here("rad-dino") is None
    (tmp_path / "rad-dino.safetensors").write_bytes(b"")
    (tmp_path / "eva_x_small_patch16_merged520k_mim.pt").write_bytes(b"")
    assert str(tmp_path / "rad-dino.safetensors") in str(encoders.here("rad-dino"))
    assert "eva_x_small" in str(encoders.here("eva-x-s")) and encoders.here("eva-x-b") is None


def test_licence_is_said_and_kept_and_one_channel_is_enough(tmp_path, capsys):
    torch.save(grey_densenet(), tmp_path / "own.pt")
    settings = {"model": "cxr:xrv-densenet121-lr", "weights": str(tmp_path / "own.pt"), "size": 64}
    train("demo:40", tmp_path / "run", settings)
    model = Model.load(tmp_path / "run" / "model.h5")
    assert "Apache-2.0 (model card torchxrayvision" in model.provenance["licence"]
    assert model.preprocess.channels == 1 and "not the published file" in capsys.readouterr().err
