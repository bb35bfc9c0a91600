"""Every setting and its default, once: flags, `--set`, config.json and docs/config.md are made from here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from plainfilm.catalogue import own_settings
from plainfilm.errors import InputError, did_you_mean

DISCLAIMER = "Research and teaching software, not a medical device."
SPLITS = ("grouped", "paper", "official")
PAPER_MODELS = ("vgg", "vgg-bn", "vgg16-lr")  # what `paper` and `demo` compare
DEMO_FILMS = 240
MAX_BAD = 0.01  # share of unreadable films above which a command stops
MONTAGE_FILMS = 30  # the paper's Fig. 3
UNCERTAINS = ("ignore", "positive", "negative")  # U-Ignore, U-Ones and U-Zeros of Irvin et al. 2019
READERS = ("majority", "any", "all")
PROJECTIONS = ("frontal", "all")
READING = ("patient_regex", "findings", "uncertain", "readers", "projection")  # settings of how DATA is read
DECAYS = ("keras", "recursion", "epoch", "cosine", "one-cycle")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "lion")
RESIZES = ("crop", "pad", "stretch")
PRECISIONS = ("auto", "32", "16")
SCALINGS = ("film", "centre", "unit", "caffe")


def _setting(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True, init=False)
class TrainConfig:
    """All settings of one trained model. The defaults are the paper's, but for the split and a model's own settings."""

    model: str = _setting("vgg", "model name; `plainfilm models` lists them")
    split: str = _setting("grouped", "how films are divided", SPLITS)
    seed: int = _setting(0, "seed of the split, the initial weights, the order of films and dropout")
    epochs: int = _setting(30, "passes over the training films")
    fewest_steps: int = _setting(
        0, "steps to make at least: a small set gets more `epochs` for it; 0 = none, as wherever `epochs` is given"
    )
    batch: int = _setting(24, "films per step")
    learning_rate: float = _setting(0.05, "first (cosine and one-cycle: highest) learning rate (alpha_0)")
    decay: str = _setting("keras", "learning-rate rule", DECAYS)
    optimizer: str = _setting("sgd", "rule of the steps", OPTIMIZERS)
    momentum: float = _setting(0.0, "momentum of sgd and rmsprop")
    weight_decay: float = _setting(0.0, "shrinking of the weights")
    label_smoothing: float = _setting(0.0, "share of each label given to all classes alike")
    mixup: float = _setting(0.0, "films mixed in pairs by a share drawn from Beta(mixup, mixup); 0 = never")
    average: float = _setting(0.0, "share kept a step by the moving average that the result is; 0 = none")
    sample_by: str = _setting(
        "",
        "columns of DATA's table, such as site, whose values are drawn alike within a batch; of several with commas "
        "their combinations; `class` is the films' own: site,class",
    )
    patience: int = _setting(0, "epochs without a lower validation loss before it stops; 0 = never")
    class_weights: str = _setting(
        "balanced", "`balanced` (largest count / count of the class), `none`, or NAME=WEIGHT,NAME=WEIGHT"
    )
    size: int = _setting(
        0, "side of the square input in pixels; 0 = the model's own (vgg 64, vgg16 224, best and best-gpu 160)"
    )
    resize: str = _setting("crop", "shorter side + centre crop, whole film padded, or stretched", RESIZES)
    oversample: int = _setting(
        2, "large JPEG films are decoded at 1/2, 1/4 or 1/8 that keeps this many times `size`; 0 = always whole"
    )
    scaling: str = _setting(
        "", "grey values to input; empty = the model's own (vgg: film, vgg16: caffe)", ("", *SCALINGS)
    )
    channels: int = _setting(3, "equal input channels of vgg and vgg-bn: 3 as in the paper, or 1")
    augment: str = _setting(
        "",
        "training films changed at random: rotation=10,translation=.05,zoom=.1,shear=5,flip=1 (degrees, shares), "
        "stretch, style, cross, equalise, gamma, contrast, brightness, shading, sharpness, noise, erase",
    )
    unlabelled: str = _setting(
        "", "films of another place without labels: they lend their style to half of the training films (`style`)"
    )
    views: int = _setting(
        1, "of an ensemble: views of each film that are averaged (as it is, wider, taller, nearer, farther), 1 to 5"
    )
    copies: int = _setting(
        0,
        "changed copies of each training film that frozen layers see once, stored; 0 = `augment` in each epoch",
    )
    regularisation: str = _setting(
        "1e-7,1e-6,1e-5,1e-4,1e-3,1e-2", "values of C that the grid search of a logistic regression tries"
    )
    features: str = _setting(
        "raw", "a logistic regression's features as they are, or each over its own deviation", ("raw", "standardised")
    )
    cv_folds: int = _setting(3, "folds of that grid search")
    choose_by: str = _setting(
        "",
        "column of DATA's table, such as site, whose values are left out in turn to choose C and what `search` tries; "
        "empty = folds by patient, and validation films",
    )
    positive: str = _setting("", "class that counts as positive; empty = the one not called normal")
    threshold: str = _setting(
        "auto",
        "chosen on validation: `balanced`, `youden` or `sensitivity=0.95`; or a number; "
        "`auto` = balanced, but 0.5 for split=paper",
    )
    refer: str = _setting(
        "share=0.05",
        "films for a reader, chosen on validation: the least sure `share=`, until `error=` is left, or `none`",
    )
    weights: str = _setting("", "file with pretrained weights: VGG16 in the Keras layout, a backbone's safetensors, …")
    device: str = _setting("auto", "where to compute", ("auto", "cpu", "cuda"))
    precision: str = _setting(
        "auto", "bits that networks multiply with; `auto` = 16 where this processor is faster by them", PRECISIONS
    )
    compile: str = _setting(
        "auto", "torch.compile for training: `auto` = on a GPU where it is measured to be faster", ("auto", "on", "off")
    )
    threads: int = _setting(0, "CPU threads; 0 = one a core")
    patient_regex: str = _setting("", "regular expression on the path; its first group is the patient")
    findings: str = _setting(
        "", "which findings of DATA are in question: NAME (a question of yes or no), NAME,NAME or `all`"
    )
    uncertain: str = _setting("ignore", "what a finding's uncertain cells (-1) count as", UNCERTAINS)
    readers: str = _setting("majority", "how many of a film's readers make a finding positive", READERS)
    projection: str = _setting("frontal", "which films of a set with lateral ones", PROJECTIONS)
    max_bad: float = _setting(MAX_BAD, "share of unreadable films above which the run stops")

    def __init__(self, **given: Any) -> None:
        own = own_settings(str(given.get("model", "")))
        if "epochs" in given:
            own = {**own, "fewest_steps": 0}
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, value in {**defaults, **own, **checked(given)}.items():
            object.__setattr__(self, name, value)  # as a frozen dataclass does it
        problems = list(_wrong_types(self)) or list(_problems(self))
        if problems:
            raise InputError("Settings: " + " ".join(problems))

    @property
    def reading(self) -> dict[str, Any]:
        """The settings of how DATA is read, as ``data.sources.load`` takes them."""
        return {name: getattr(self, name) for name in READING}


def _wrong_types(config: TrainConfig) -> Any:
    kinds = {str: (str, "text"), int: (Integral, "a whole number"), float: (Real, "a number")}
    for field in dataclasses.fields(config):
        kind, words = kinds[type(field.default)]
        value = getattr(config, field.name)
        if not isinstance(value, kind) or isinstance(value, bool):
            yield f"{field.name}={value!r}: expected {words}."


def _problems(config: TrainConfig) -> Any:
    for name, low, high in (
        ("epochs", 1, 100_000),
        ("fewest_steps", 0, 1_000_000),
        ("batch", 1, 65_536),
        ("size", 0, 2_048),
        ("oversample", 0, 64),
        ("cv_folds", 2, 100),
        ("threads", 0, 1_024),
        ("seed", 0, 2**31 - 1),
        ("max_bad", 0.0, 1.0),
        ("learning_rate", 1e-12, 1e3),
        ("momentum", 0.0, 0.9999),
        ("weight_decay", 0.0, 10.0),
        ("label_smoothing", 0.0, 0.9),
        ("mixup", 0.0, 100.0),
        ("average", 0.0, 0.99999),
        ("patience", 0, 100_000),
        ("copies", 0, 100),
        ("views", 1, 5),
    ):
        value = getattr(config, name)
        if not low <= value <= high:
            yield f"{name}={value} is outside {low} to {high}."
    if config.channels not in (1, 3):
        yield f"channels={config.channels} must be 1 or 3."
    for field in dataclasses.fields(config):
        choices = field.metadata["choices"]
        if choices and getattr(config, field.name) not in choices:
            value = getattr(config, field.name)
            yield f"{field.name}={value!r} is not known.{did_you_mean(value, choices)}"


def from_text(name: str, text: str) -> Any:
    """Return ``text`` as the type of the setting ``name``; InputError names an unknown setting or a wrong value."""
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    name = name.replace("-", "_")
    if name not in fields:
        raise InputError(f"There is no setting '{name}'.{did_you_mean(name, fields)}")
    kind: type[Any] = type(fields[name].default)
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{name}={text!r}: expected {'a whole number' if kind is int else 'a number'}.") from None


OF_STEPS = (  # settings of networks that are trained by steps: a logistic regression has no use for them
    "epochs",
    "fewest_steps",
    "batch",
    "learning_rate",
    "decay",
    "optimizer",
    "momentum",
    "weight_decay",
    "label_smoothing",
    "mixup",
    "average",
    "sample_by",
    "patience",
    "class_weights",
    "augment",
    "unlabelled",
    "compile",
)


def of_no_use(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the settings that a logistic regression has no use for; changes of films serve it where it has copies."""
    return tuple(name for name in OF_STEPS if name != "augment" or not settings.get("copies"))


OF_ENSEMBLES = (  # settings that mean something to an ensemble: the others are its members' own
    "model",
    "split",
    "seed",
    "views",
    "positive",
    "threshold",
    "refer",
    "device",
    "precision",
    "threads",
    *READING,
    "max_bad",
)


def newer(made: str) -> bool:
    """Return whether plainfilm ``made`` (such as "0.2.0") is newer than this one."""
    from importlib.metadata import version  # 20 ms, which --help does not wait for

    ours, theirs = ([int(n) for n in re.findall(r"\d{1,9}", text)[:3]] for text in (version("plainfilm"), made))
    return theirs > ours


def number_list(name: str, text: str) -> list[float]:
    """Return the comma-separated positive numbers in ``text``."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or any(not 0 < v < float("inf") for v in values):
        raise InputError(f"{name}={text!r}: expected positive numbers with commas between them, such as 1e-4,1e-3.")
    return values


def name_values(name: str, text: str) -> dict[str, float]:
    """Return {name: number} for ``a=1,b=2``; InputError when it has another form."""
    pairs = {}
    for key, value in name_pairs(name, text, "NAME=NUMBER"):
        try:
            pairs[key] = float(value)
        except ValueError:
            raise InputError(f"{name}={text!r}: '{key}={value}' is not of the form NAME=NUMBER.") from None
    return pairs


NAME = r'"(?:[^"]|"")*"|[^=",]*'
PAIR = re.compile(rf"\s*({NAME})\s*=\s*({NAME})\s*(?:,|$)")


def name_pairs(name: str, text: str, form: str = "NAME=NAME") -> list[tuple[str, str]]:
    """Return the pairs of ``a=x,b=y``; a name that holds a comma or = stands in double quotes: ``"a, left"=x``.

    InputError when it has another form; ``name`` is that of the flag or setting, ``form`` the words for a pair.
    """
    pairs, at = [], 0
    while at < len(text):
        found = PAIR.match(text, at)
        if not found:
            raise InputError(
                f"{name}={text!r}: '{text[at:]}' is not of the form {form}. A name with a comma or = stands in double "
                f'quotes: "a, left"=…'
            )
        pairs.append((_unquoted(found[1]), _unquoted(found[2])))
        at = found.end()
    return pairs


def pieces(text: str) -> list[str]:
    """Return what stands between the commas of ``text`` that are in no double quotes."""
    return re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text)


def quoted(name: str) -> str:
    """Return a name as ``name_pairs`` reads it back."""
    plain = not re.search(r'[=",]', name) and name == name.strip() and name
    return name if plain else '"' + name.replace('"', '""') + '"'


def _unquoted(name: str) -> str:
    name = name.strip()
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``settings`` when every name is a field of TrainConfig; InputError with the nearest name otherwise."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in settings:
        if name not in names:
            raise InputError(f"There is no setting '{name}'.{did_you_mean(name, names)}")
    return settings
