"""Encoders that others trained on chest films (``catalogue.ENCODERS``): networks of timm, with the names that each
publisher's file gives their layers turned into timm's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.catalogue import ENCODERS, Encoder
from plainfilm.data.fetch import Download, DownloadError, fetch, offline
from plainfilm.errors import InputError
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.backbones import Timm, network_of
from plainfilm.models.weight_files import ENDINGS, read_weights
from plainfilm.models.weights import VARIABLE, Arrays, Weights, named_place
from plainfilm.progress import say
from plainfilm.storage import files

# How a layout's names become timm's: each pattern is replaced where it is found. What has no place then is left out:
# decoders, heads, mask tokens.
LAYOUTS: dict[str, tuple[tuple[str, str], ...]] = {
    "torchvision": (),
    # He et al. 2022. Its last norm saw single tokens; here, as in EVA-X's own code, it sees their mean.
    "mae": ((r"^norm\.", "fc_norm."),),
    # the encoder within a U-Net of segmentation_models_pytorch
    "smp": ((r"^model\.encoder\.", ""),),
    # transformers' Dinov2Model, in its fourth and fifth version
    "dinov2": (
        (r"^dinov2\.", ""),
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^encoder\.layer\.", "blocks."),
        (r"\.attention\.(attention\.query|q_proj)\.", ".attn.q_proj."),
        (r"\.attention\.(attention\.key|k_proj)\.", ".attn.k_proj."),
        (r"\.attention\.(attention\.value|v_proj)\.", ".attn.v_proj."),
        (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
        (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
        (r"^layernorm\.", "norm."),
    ),
    # Fang et al. 2023: the authors' own names
    "eva02": (
        (r"^norm\.", "fc_norm."),
        (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
        (r"\.attn\.inner_attn_ln\.", ".attn.norm."),
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w1\.", ".mlp.fc1_g."),
        (r"\.mlp\.w2\.", ".mlp.fc1_x."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
    ),
}


def build(name: str, hidden: int, classes: int, preprocess: Preprocess) -> Timm:
    """Return the encoder ``name`` as a classifier of films of ``preprocess.size``, with random weights; InputError when
    it can't take that size."""
    own = ENCODERS[name]
    built = {"in_chans": len(own.mean), **own.built}
    return network_of(own.network, preprocess.size, built, (own.mean, own.deviation), classes, hidden)


def load(name: str, file: str | Path | None = None) -> Weights:
    """Return the encoder's arrays by timm's names: from ``file``, PLAINFILM_WEIGHTS, the cache or its address.

    Only a file whose size and checksum are known is fetched. InputError names what was tried when there is none.
    """
    own = ENCODERS[name]
    say(f"cxr:{name}: {own.title}. Licence of the weights: {own.licence}. Cite: {own.citation}.")
    found = ("--weights", Path(file).expanduser()) if file is not None else _found(name)
    option, path = found or ("address", _fetched(name))
    if own.sha256 and not _is(path, own.sha256):
        if option in ("address", "cache"):
            raise InputError(f"{path} is not the published file (its sha256 differs); remove it, and it is fetched.")
        say(f"{path} is not the published file of {name} (its sha256 differs).")
    read = read_weights(path, option)
    return replace(read, arrays=renamed(read.arrays, own.layout))


def here(name: str) -> str | None:
    """Return where the encoder's file is without a download, None when nowhere."""
    found = _found(name)
    return f"{found[0]} {found[1]}" if found else None


def renamed(arrays: Arrays, layout: str) -> Arrays:
    """Return ``arrays`` under timm's names; where three of attention's lie apart, as one too, if timm wants it."""
    given: Arrays = {}
    for name, array in arrays.items():
        name = name.removeprefix("module.")
        for pattern, instead in LAYOUTS[layout]:
            name = re.sub(pattern, instead, name)
        given[name] = array
    for name in [n for n in given if n.endswith(".attn.q_proj.weight")]:
        stem = name.removesuffix("q_proj.weight")
        for kind in ("weight", "bias"):
            parts = [given.get(f"{stem}{letter}_proj.{kind}") for letter in "qkv"]
            if all(part is not None for part in parts):
                given[f"{stem}qkv.{kind}"] = np.concatenate([part for part in parts if part is not None])
        for letter in "qv":  # EVA-02 keeps these two biases beside the layers
            if (bias := given.get(f"{stem}{letter}_bias")) is not None:
                given[f"{stem}{letter}_proj.bias"] = bias
    return given


def _found(name: str) -> tuple[str, Path] | None:
    """What PLAINFILM_WEIGHTS means (a file, or one called NAME.… in that folder), or the cache has."""
    published = Path(ENCODERS[name].address).name
    names = [f"{name}{ending}" for ending in ENDINGS]
    if published not in ("model.safetensors", "model.pt", "view"):  # such a name could be any network's
        names.append(published)
    named = named_place()
    places = [(VARIABLE, named)] if named and named.suffix in ENDINGS else []
    places += [(VARIABLE, named / n) for n in names] if named else []
    places += [("cache", _cache() / n) for n in names]
    return next(((option, path) for option, path in places if path.is_file()), None)


def _cache() -> Path:
    return files.cache_dir() / "weights"


def _fetched(name: str) -> Path:
    own = ENCODERS[name]
    where = f"put it as {name}{Path(own.address).suffix or '.pth'} into {_cache()}, or name it by --weights"
    if own.bytes is None or not own.sha256:
        raise InputError(
            f"{name}'s weights are not here, and no file is fetched whose checksum is not known: bring it from "
            f"{own.address}, and {where}."
        )
    if offline():
        raise InputError(f"PLAINFILM_OFFLINE is set, and {name}'s weights are not here: {where}.")
    try:
        return fetch(_download(name, own, own.bytes))
    except DownloadError as error:
        raise InputError(
            f"{name}'s weights could not be fetched from {own.address} ({error.reason}); bring the file "
            f"by other means: {where}."
        ) from None


def _download(name: str, own: Encoder, size: int) -> Download:
    file = f"{name}{Path(own.address).suffix}"
    source = "catalogue.ENCODERS"
    known: dict[str, Any] = {"licence": own.licence, "citation": own.citation, "source": source, "folder": "weights"}
    return Download(f"cxr:{name}", own.address, file, size, f"sha256:{own.sha256}", **known)


def _is(path: Path, sha256: str) -> bool:
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    except OSError:  # reading it says why
        return True
