"""One table says all that is known of a model before a network is built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plainfilm.catalogue import ENCODERS, KINDS, ROWS, Trained, own_settings, row
from plainfilm.config import TrainConfig
from plainfilm.errors import InputError
from plainfilm.models.zoo import BUILDERS, recipe


@pytest.mark.parametrize("name", ROWS)
def test_each_row_can_be_built_and_its_settings_are_settings(name: str) -> None:
    found = recipe(name)
    assert found.row is ROWS[name] and found.row.network[0] in BUILDERS
    assert TrainConfig(model=name, **found.row.settings) == TrainConfig(model=name)
    assert (found.trained is Trained.WHOLE) or found.pretrained  # what is frozen must come from somewhere
    assert (found.trained is Trained.TAIL) == (found.row.frozen > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backbones_row_is_read_without_the_backbone(kind: str) -> None:
    found = row(f"timm:never_heard_of-{kind}")
    assert found.pretrained == "timm:never_heard_of" and found.settings == own_settings(found.name) != {}
    assert TrainConfig(model=found.name).resize == "stretch"


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoders_row_says_where_its_file_is_whose_it_is_and_how_films_become_its_input(name: str) -> None:
    own, found = ENCODERS[name], row(f"cxr:{name}-lr")
    assert own.address.startswith("https://") and own.citation and len(own.mean) == len(own.deviation)
    assert found.licence.startswith("Apache-2.0; weights ") and own.licence in found.licence
    assert (own.bytes is None) == (own.sha256 == "")  # a file is fetched with both or not at all
    assert found.input == {"scaling": "unit", "size": own.size, "channels": len(own.mean)}
    assert found.settings == own_settings("timm:any-lr") and found.trained is Trained.HEAD


def test_a_name_that_is_none_is_refused_with_the_nearest_and_has_no_settings() -> None:
    with pytest.raises(InputError, match="Did you mean 'vgg16-lr'"):
        row("vgg16-lt")
    with pytest.raises(InputError, match="Did you mean 'cxr:rad-dino-lr'"):
        row("cxr:rad-dyno-lr")
    assert own_settings("vgg16-lt") == own_settings("") == {}


def test_names_and_settings_need_neither_numpy_nor_torch() -> None:
    code = "import plainfilm.config, sys; print(sorted({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
