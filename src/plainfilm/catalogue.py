"""Every model that can be named, and all that is known of it before a network is built: one row each.

Neither numpy nor torch is needed to read it. ``models.zoo`` makes networks of the rows, ``training.fitting`` trains
what ``Trained`` says, and settings that a row wants otherwise than the paper are defaults behind the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from plainfilm.errors import InputError, did_you_mean


class Trained(Enum):
    """What of a model is trained; ``training.fitting`` has a way for each."""

    WHOLE = "every weight, by steps"
    TAIL = "what lies behind the first, frozen layers, by steps"
    MLP = "dense layers on frozen features, by steps"
    HEAD = "a logistic regression on frozen features"
    NOTHING = "nothing: trained runs joined"

    @property
    def by_steps(self) -> bool:
        """Whether weights are trained by epochs of steps."""
        return self in (Trained.WHOLE, Trained.TAIL, Trained.MLP)

    @property
    def behind_frozen(self) -> bool:
        """Whether all that is trained lies behind frozen layers, which may see each changed copy of a film once."""
        return self in (Trained.TAIL, Trained.MLP, Trained.HEAD)

    @property
    def on_features(self) -> bool:
        """Whether all that is trained sees stored features, never a film."""
        return self in (Trained.MLP, Trained.HEAD)


@dataclass(frozen=True)
class Row:
    """A named model. ``network``: its family in ``models.zoo`` and what it is built from; ``input``: fields of
    ``Preprocess``; ``frozen``: how many of the first layers keep their pretrained values, for ``Trained.TAIL``."""

    name: str
    title: str  # as a reader of the paper knows it
    network: tuple[Any, ...]
    input: Mapping[str, Any]
    trained: Trained
    pretrained: str = ""  # weights it starts from
    licence: str = "Apache-2.0"
    frozen: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)  # what it wants otherwise than the paper


# Networks of VGG's kind, in the language of ``models.vgg``.
PAPER = "32 32 P D.25 64 64 P D.25 128 128 P D.25 | 512 D.5"
VGG16 = "64 64 P 128 128 P 256 256 256 P 512 512 512 P 512 512 512 P |"

OXFORD = "Apache-2.0; weights CC BY 4.0 (Visual Geometry Group, Oxford)"
GOOGLE = "Apache-2.0; weights Apache-2.0 (Google, converted by ML Illustrated)"
CAFFE = {"size": 224, "scaling": "caffe"}
STRETCHED = {"size": 160, "resize": "stretch"}
# What `best` and `best-gpu` are trained with: found by a battery of changed looks, see docs/models.md.
ROBUST: dict[str, Any] = {
    "epochs": 12,
    "fewest_steps": 400,
    "batch": 32,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.02,
    "decay": "cosine",
    "label_smoothing": 0.05,
    "average": 0.998,
    "resize": "stretch",
    "augment": "rotation=10,translation=.08,zoom=.15,stretch=.35,style=.8,equalise=1,gamma=.8,contrast=.4,"
    "brightness=30,shading=.3,sharpness=1,noise=25,erase=.3",
}
GENTLE = {"batch": 32, "optimizer": "adamw", "learning_rate": 1e-4, "decay": "cosine"}
DECAYED = {"batch": 32, "optimizer": "adamw", "weight_decay": 0.02, "decay": "cosine", "resize": "stretch"}
ROWS = {
    row.name: row
    for row in (
        Row("vgg", "CNN", ("vgg", PAPER, False), {}, Trained.WHOLE),
        Row("vgg-bn", "CNN + BN", ("vgg", PAPER, True), {}, Trained.WHOLE),
        Row(
            "vgg16-lr",
            "VGG16 features + logistic regression",
            ("vgg", VGG16, False),
            CAFFE,
            Trained.HEAD,
            "vgg16",
            OXFORD,
        ),
        Row(
            "vgg16-ft",
            "VGG16, last block fine-tuned",
            ("vgg", f"{VGG16} D.5", False),
            CAFFE,
            Trained.TAIL,
            "vgg16",
            OXFORD,
            frozen=24,  # four blocks: ten convolutions with their ReLUs, four pools
            settings={**GENTLE, "epochs": 8},
        ),
        Row(
            "vgg16-mlp",
            "VGG16 features + dense layers",
            ("vgg", f"{VGG16} N 256 D.5", False),
            CAFFE,
            Trained.MLP,
            "vgg16",
            OXFORD,
            settings={**GENTLE, "epochs": 20},
        ),
        Row(
            "best",
            "EfficientNet-Lite0, fine-tuned on films of varied look",
            ("lite", 1.0, 1.0, 0.2),
            STRETCHED,
            Trained.WHOLE,
            "efficientnet-lite0",
            GOOGLE,
            settings=ROBUST,
        ),
        Row(
            "best-gpu",
            "EfficientNet-Lite2, fine-tuned on films of varied look",
            ("lite", 1.1, 1.2, 0.3),
            STRETCHED,
            Trained.WHOLE,
            "efficientnet-lite2",
            GOOGLE,
            settings=ROBUST | {"batch": 64, "average": 0.996, "class_weights": "none"},
        ),
    )
}
# timm:NAME-KIND and cxr:NAME-KIND: how the backbone is made a classifier, units between features and classes, what is
# trained, settings.
KINDS: dict[str, tuple[str, int, Trained, dict[str, Any]]] = {
    "lr": (
        "features + logistic regression",
        0,
        Trained.HEAD,
        {"features": "standardised", "resize": "stretch"},
    ),
    "mlp": ("features + dense layers", 256, Trained.MLP, DECAYED | {"epochs": 20, "learning_rate": 1e-3}),
    "ft": (
        "fine-tuned",
        0,
        Trained.WHOLE,
        DECAYED
        | {
            "epochs": 6,
            "learning_rate": 2e-4,
            "augment": "rotation=10,translation=.08,zoom=.15,stretch=.2,gamma=.5,contrast=.3,sharpness=.5,noise=5",
        },
    ),
}


@dataclass(frozen=True)
class Encoder:
    """A network that others trained on chest films without plainfilm, and what its publishers say of it.

    ``network``: timm's name of its architecture; ``built``: what of it differs from timm's; ``layout``: whose names the
    file gives the layers (``models.encoders.LAYOUTS``); ``mean``, ``deviation``: of grey values 0..1, for each channel.
    ``bytes`` and ``sha256`` of the file are None and "" where no page that gives them could be read: such a file is
    not fetched, the user brings it.
    """

    title: str
    network: str
    layout: str
    address: str
    licence: str
    citation: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    size: int = 224
    built: Mapping[str, Any] = field(default_factory=dict)
    bytes: int | None = None
    sha256: str = ""


# Read on 2026-11-30: the publishers' repositories (medical_mae 953a460, EVA-X dc4f32a, torchxrayvision f4087a0) and
# stored copies of their model cards.
_MAE: dict[str, Any] = {
    "licence": "Apache-2.0 (repository lambert-x/medical_mae)",
    "citation": "Xiao et al., WACV 2023, arXiv:2210.12843",
    "mean": (0.5056,) * 3,
    "deviation": (0.252,) * 3,
}
_EVA: dict[str, Any] = {
    "layout": "eva02",
    "licence": "MIT (model card MapleF/eva_x)",
    "citation": "Yao et al., EVA-X, npj Digital Medicine 2025, arXiv:2405.05237",
    "mean": (0.49185243,) * 3,
    "deviation": (0.28509309,) * 3,
}
_EVA_FILES = "https://huggingface.co/MapleF/eva_x/resolve/main/eva_x_{0}_patch16_merged520k_mim.pt"
_PATCH16 = {"patch_size": 16, "ref_feat_shape": (14, 14)}
_DRIVE = "https://drive.google.com/file/d/{0}/view"
ENCODERS = {
    "medical-mae-s": Encoder(
        "medical MAE, ViT-S/16 (0.3 million films)",
        "vit_small_patch16_224",
        "mae",
        _DRIVE.format("1Yok1RemqP27iKJ5BUuoHhLRBB1GycITx"),
        built={"global_pool": "avg"},
        **_MAE,
    ),
    "medical-mae-b": Encoder(
        "medical MAE, ViT-B/16 (0.5 million films)",
        "vit_base_patch16_224",
        "mae",
        _DRIVE.format("10wqOFCkhyWp6JdSFADrH6Xu9e1am3gXJ"),
        built={"global_pool": "avg"},
        **_MAE,
    ),
    "medical-mae-densenet121": Encoder(
        "medical MAE, DenseNet-121 (0.3 million films)",
        "densenet121",
        "smp",
        _DRIVE.format("1f5KePD48QmHua7C5HBUV3i0PqNPkgmqj"),
        **_MAE,
    ),
    "eva-x-ti": Encoder(
        "EVA-X, ViT-Ti/16 (0.5 million films)",
        "eva02_tiny_patch14_224",
        address=_EVA_FILES.format("tiny"),
        built=_PATCH16,
        **_EVA,
    ),
    "eva-x-s": Encoder(
        "EVA-X, ViT-S/16 (0.5 million films)",
        "eva02_small_patch14_224",
        address=_EVA_FILES.format("small"),
        built=_PATCH16,
        bytes=307_569_543,
        sha256="135d70a6988b5aacfe4848e1c2a0d524b2c076536fcaccdce88b636d302316c2",
        **_EVA,
    ),
    "eva-x-b": Encoder(
        "EVA-X, ViT-B/16 (0.5 million films)",
        "eva02_base_patch14_224",
        address=_EVA_FILES.format("base"),
        built=_PATCH16,
        **_EVA,
    ),
    "rad-dino": Encoder(
        "RAD-DINO, ViT-B/14 (0.9 million films)",
        "vit_base_patch14_dinov2",
        "dinov2",
        "https://huggingface.co/microsoft/rad-dino/resolve/main/model.safetensors",
        # The card said MIT at first, from 2024-08-19 on MSRLA (research only), and MIT again since the repository's
        # "Use MIT license (#9)" of mid-2025: "License: MIT", "not meant to be used for clinical practice" (c3736a6).
        "MIT (model card microsoft/rad-dino, commit c3736a6); not for clinical use",
        "Pérez-García et al., Nature Machine Intelligence 2025, doi 10.1038/s42256-024-00965-w",
        (0.5307,) * 3,
        (0.2583,) * 3,
        518,
    ),
    "stanford-dinov2-b": Encoder(
        "DINOv2 ViT-B/14 of Stanford AIMI",
        "vit_base_patch14_dinov2",
        "dinov2",
        "https://huggingface.co/StanfordAIMI/dinov2-base-xray-224/resolve/main/model.safetensors",
        "Apache-2.0 (model card StanfordAIMI/dinov2-base-xray-224)",
        "Chambon et al., CheXpert Plus, 2024, arXiv:2405.19538",
        (0.485, 0.456, 0.406),  # DINOv2's; its own preprocessor_config.json could not be read
        (0.229, 0.224, 0.225),
    ),
    "xrv-densenet121": Encoder(
        "TorchXRayVision, DenseNet-121 (seven sets)",
        "densenet121",
        "torchvision",
        "https://huggingface.co/torchxrayvision/densenet121-res224-all/resolve/main/model.pt",
        "Apache-2.0 (model card torchxrayvision/densenet121-res224-all)",
        "Cohen et al., TorchXRayVision, MIDL 2022, arXiv:2111.00595",
        (0.5,),  # its grey values reach from -1024 to 1024
        (0.5 / 1024,),
        bytes=28_382_008,
        sha256="56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899",
    ),
}
ENSEMBLE = "ensemble:"
_BACKBONE = re.compile(rf"(timm|cxr):([\w.-]+)-({'|'.join(KINDS)})")


def row(name: str) -> Row:
    """Return the row of ``name``; InputError with the nearest name when there is none.

    That of ``timm:NAME-KIND`` leaves size and licence to the backbone (``models.zoo``).
    """
    if (match := _BACKBONE.fullmatch(name)) and (match[1] == "timm" or match[2] in ENCODERS):
        return _backbone(name, *match.groups())
    if name not in ROWS:
        backbones = (f"{group}-{kind}" for group in ("timm:NAME", *(f"cxr:{e}" for e in ENCODERS)) for kind in KINDS)
        raise InputError(f"There is no model '{name}'.{did_you_mean(name, [*ROWS, *backbones, f'{ENSEMBLE}RUN,RUN'])}")
    return ROWS[name]


def _backbone(name: str, family: str, backbone: str, kind: str) -> Row:
    how, hidden, trained, settings = KINDS[kind]
    title, licence = backbone, ""
    given: dict[str, Any] = {"scaling": "unit"}
    if family == "cxr":
        encoder = ENCODERS[backbone]
        title, licence = encoder.title, f"Apache-2.0; weights {encoder.licence}"
        given |= {"size": encoder.size, "channels": len(encoder.mean)}
    network = (family, backbone, hidden)
    start = f"{family}:{backbone}"
    return Row(name, f"{title}, {how}", network, given, trained, start, licence, settings=settings)


def own_settings(name: str) -> Mapping[str, Any]:
    """Return what the model ``name`` wants otherwise than the paper; nothing for a name that is none."""
    try:
        return row(name).settings
    except InputError:
        return {}
