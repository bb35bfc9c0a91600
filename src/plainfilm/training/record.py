"""What a run says of itself: config.json when it begins, model.json when its model is done."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections import Counter, defaultdict
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from plainfilm.data.films import PARTS
from plainfilm.data.findings import known_cells
from plainfilm.data.split import crossing
from plainfilm.evaluation.findings import FindingsDecision
from plainfilm.machine import ranks
from plainfilm.models.model import Model
from plainfilm.models.summary import flops, layers, parameters
from plainfilm.storage.documents import ConfigDocument, FitDocument, ModelDocument
from plainfilm.training.preparation import Prepared


def config_document(prepared: Prepared) -> ConfigDocument:
    """Return what config.json holds: settings, what was derived from them, versions, data."""
    films, device, crossed = prepared.films, prepared.device, crossing(prepared.films)
    document: ConfigDocument = {
        "plainfilm": version("plainfilm"),
        "data": prepared.data,
        "folder": str(Path.cwd()),
        "notes": list(films.notes),
        "data_hash": films.data_hash,
        "set_hash": films.set_hash,
        "synthetic": films.synthetic,
        "protocol": films.protocol,
        "divided": dict(zip(("split", "seed"), films.divided, strict=True)) if films.divided else None,
        "crossing": {
            "patients": crossed["patients"],
            "contents": crossed["contents"],
            "pictures": _pictures_crossing(prepared),
        },
        "films": {part: int(films.where(part).size) for part in PARTS},
        "classes": {} if films.findings else films.counts,
        "settings": asdict(prepared.config),
        "members": prepared.members,
        "preprocess": prepared.preprocess.as_dict(),
        "class_weights": prepared.class_weights,
        "seed": prepared.config.seed,
        "precision": prepared.precision.as_dict(),
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "processes": ranks.world(),
        "job": ranks.job(),
        "command": shlex.join(sys.argv[1:]),
        "versions": {name: version(name) for name in ("torch", "numpy", "pillow", "scikit-learn", "h5py")},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if films.findings:
        document["findings"] = known_cells(films)
    return document


def _pictures_crossing(prepared: Prepared) -> int:
    """Return how many films look to the network exactly like one in another part that is no copy to the byte."""
    films = prepared.films.films
    looks = [
        hashlib.blake2b(prepared.pixels[i : i + 1].tobytes(), digest_size=16).hexdigest() for i in range(len(films))
    ]
    alike = defaultdict(list)
    times = Counter(looks)
    for film, look in zip(films, looks, strict=True):
        if times[look] > 1:
            alike[look].append(film)
    apart = [group for group in alike.values() if len({f.part for f in group}) > 1 < len({f.sha256 for f in group})]
    return sum(map(len, apart))


def model_document(prepared: Prepared, model: Model, fit: FitDocument) -> ModelDocument:
    """Return what model.json holds: what a report says of the model, so that drawing it needs no network."""
    decision = model.decision
    shape = (prepared.preprocess.channels, prepared.preprocess.size, prepared.preprocess.size)
    document: ModelDocument = {
        "model": model.name,
        "title": prepared.recipe.title,
        "parameters": parameters(model.network),
        "flops": flops(model.network, shape),
        "input": list(shape),
        "layers": [asdict(layer) for layer in layers(model.network, shape)],
        "positive": decision.positive,
        "threshold": model.threshold,
        "temperature": decision.temperature,
        "search": fit.get("search"),
        "weights": fit.get("weights"),
        "seconds": fit["seconds"],
        "trained_parameters": fit["trained_parameters"],
        "threshold_rule": decision.rule,
        "refer": list(decision.refer) if decision.refer else None,
        "offsets": list(decision.offsets) or None,
    }
    if model.bits == 16:
        document["again_in_32_bits"] = model.provenance["again_in_32_bits"]
    if isinstance(decision, FindingsDecision):
        document["findings"] = decision.about["findings"]
    return document
