from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from plainfilm.catalogue import row
from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.search.space import (
    FINE_TUNED,
    HEAD,
    WEIGHT,
    WHOLE,
    Dimension,
    check,
    default_space,
    settings_of,
    values_at,
    varied,
)


def test_the_ends_and_the_middle_of_every_kind_of_range():
    linear, log = Dimension("a", "linear", 2, 4), Dimension("a", "log", 1e-4, 1.0)
    whole, choice = Dimension("a", "whole", 3, 5), Dimension("a", "choice", choices=("x", "y"))
    assert [linear.value(x) for x in (-1, 0, 1)] == [2, 3, 4]
    assert [log.value(x) for x in (-1, 0, 1)] == [1e-4, 0.01, 1.0]
    assert [whole.value(x) for x in (-1, -0.3, 0, 0.4, 1)] == [3, 4, 4, 5, 5]
    assert [choice.value(x) for x in (-1, -0.01, 0.01, 1)] == ["x", "x", "y", "y"]
    assert linear.value(-7) == 2 and log.value(7) == 1.0  # what lies outside counts as the end


def test_whole_numbers_and_choices_are_equally_likely():
    x = np.random.default_rng(0).uniform(-1, 1, 6000)
    whole = [Dimension("a", "whole", 1, 4).value(v) for v in x]
    assert np.bincount(whole)[1:] == pytest.approx([1500] * 4, rel=0.1)


def test_ranges_as_words_read_back():
    for space in (WHOLE, FINE_TUNED, HEAD):
        again = varied((), [dimension.words() for dimension in space])
        assert [d.words() for d in again] == [d.words() for d in space]
        assert values_at(again, np.zeros(len(space))) == values_at(space, np.zeros(len(space)))
    assert [default_space(row(name)) for name in ("vgg16-lr", "vgg")] == [HEAD, WHOLE]
    assert default_space(row("best")) == default_space(row("vgg16-ft")) == FINE_TUNED


def test_the_user_replaces_and_adds_ranges():
    space = varied(WHOLE, ["batch=8|16", "momentum=0:0.9", "size=32:64:whole"])
    assert [d.name for d in space][-2:] == ["momentum", "size"]
    assert next(d for d in space if d.name == "batch").choices == (8, 16)
    assert values_at(space, np.ones(len(space)))["size"] == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate", "not of the form"),
        ("learning_rat=1:2", "Did you mean 'learning_rate'?"),
        ("augment.rotatio=1:2", "Did you mean 'augment.rotation'?"),
        ("learning_rate=2:1", "LOW < HIGH"),
        ("learning_rate=0:1:log", "above 0"),
        ("learning_rate=0:1:cubic", "LOW:HIGH:log"),
        ("learning_rate=a:b", "LOW < HIGH"),
        ("batch=8|x", "expected a whole number"),
        ("batch=8|8", "stand once"),
        ("seed=0:9:whole", "can't be compared"),
    ],
)
def test_what_is_wrong_with_a_range_is_said(text, said):
    with pytest.raises(InputError, match=None) as caught:
        varied(WHOLE, [text])
    assert said in str(caught.value)


def test_parts_of_a_setting_become_the_setting():
    values = {"learning_rate": 0.02, "batch": 16, "augment.rotation": 7.5, WEIGHT: 0.5, "regularisation": 1e-5}
    base = {"augment": "rotation=3,noise=2", "epochs": 4}
    settings = settings_of(values, base, {"NORMAL": 3.0, "PNEUMONIA": 1.0}, ("PNEUMONIA",))
    assert settings["augment"] == "noise=2,rotation=7.5"
    assert settings["class_weights"] == "NORMAL=3,PNEUMONIA=0.5"
    assert (settings["regularisation"], settings["batch"], settings["epochs"]) == ("1e-05", 16, 4)
    TrainConfig(**settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch=8:32:log", "whole number"),
        ("decay=keras|cosin", "'cosin' is not known"),
        ("augment.rotation=0|x", "expected numbers"),
        ("augment.rotation=100:300", "outside 0 to 180"),
        ("batch=0:4", "outside 1 to"),
    ],
)
def test_what_a_setting_can_not_be_is_said_before_anything_is_tried(text, said):
    with pytest.raises(InputError, match=f"--vary .*{said}"):
        check(varied((), [text]), asdict(TrainConfig()))


def test_a_range_of_a_whole_number_gives_whole_numbers():
    (dimension,) = varied((), ["batch=8:32"])
    assert {type(dimension.value(x)) for x in (-1, -0.3, 0.2, 1)} == {int}


def test_a_fixed_setting_is_not_varied():
    names = [dimension.name for dimension in varied(WHOLE, ["batch=fixed", "momentum=0:0.9"])]
    assert names == [d.name for d in WHOLE if d.name != "batch"] + ["momentum"] and "batch" in [d.name for d in WHOLE]
    with pytest.raises(InputError, match="nothing to vary"):
        varied(HEAD, ["regularisation=fixed"])
