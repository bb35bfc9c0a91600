"""`export` says what it wrote and on which films it was checked, and replaces nothing unasked."""

from __future__ import annotations

import hashlib

import pytest

from plainfilm.catalogue import PAPER
from plainfilm.commands.export import export
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.export.films import PHANTOMS, check_pixels
from plainfilm.image.preprocess import Preprocess
from plainfilm.models.model import Model
from plainfilm.models.vgg import VGG
from plainfilm.storage.files import read_json, write_json
from plainfilm.storage.tables import write_csv


@pytest.fixture
def run(tmp_path, films_folder):
    folder = tmp_path / "run"
    folder.mkdir()
    model = Model(VGG(PAPER, 2, 16), "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA"), Preprocess(size=16))
    model.save(folder / "model.h5")
    header = ("path", "label", "patient", "part", "width", "height", "sha256")
    names = sorted(path.name for path in (films_folder / "NORMAL").iterdir())
    write_csv(folder / "films.csv", header, [(f"NORMAL/{n}", "NORMAL", "", "val", 1, 1, "") for n in names[:5]])
    write_json(folder / "config.json", {"data": str(films_folder), "settings": {"patient_regex": ""}})
    return folder


def test_onnx_is_checked_on_validation_and_synthetic_films(run, tmp_path):
    pytest.importorskip("onnxruntime")
    told = export(run, "onnx", tmp_path / "model.onnx")
    assert (told["real_films"], told["synthetic_films"]) == (5, PHANTOMS)
    assert told["largest_difference"] < 1e-4
    assert told["sha256"] == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()


def test_safetensors_and_nothing_replaced_unasked(run, tmp_path):
    pytest.importorskip("safetensors")
    out = tmp_path / "model.safetensors"
    first = export(run, "safetensors", out)
    with pytest.raises(InputError, match=r"exists.*--force"):
        export(run, "safetensors", out)
    assert export(run, "safetensors", out, force=True)["sha256"] == first["sha256"]


def test_films_given_take_the_place_of_all_others(run, films_folder, tmp_path):
    model = Model.load(run)
    found, real = check_pixels(model, run, [str(films_folder / "NORMAL")])
    assert real == len(found) == 16
    (tmp_path / "bad.png").write_bytes(b"no film")
    with pytest.raises(InputError, match="no film can be read"):
        check_pixels(model, run, [str(tmp_path / "bad.png")])


def test_films_named_from_another_folder_are_found_again(run, films_folder, tmp_path, monkeypatch):
    config = read_json(run / "config.json")
    write_json(run / "config.json", config | {"data": films_folder.name, "folder": str(films_folder.parent)})
    monkeypatch.chdir(tmp_path)
    other = tmp_path / films_folder.name / "NORMAL"  # other films, of the same name, where the command is given
    other.mkdir(parents=True)
    assert check_pixels(Model.load(run), run)[1] > 0


def test_a_run_whose_films_are_gone_is_checked_on_synthetic_ones(run):
    write_json(run / "config.json", {"data": "/nowhere"})
    found, real = check_pixels(Model.load(run), run / "model.h5")
    assert (len(found), real) == (PHANTOMS, 0)


def test_an_unknown_format_is_named(run, tmp_path):
    with pytest.raises(InputError, match="no format 'tflite'"):
        export(run, "tflite", tmp_path / "x")


def test_force_replaces_exports_alone(run, tmp_path):
    pytest.importorskip("safetensors")
    with pytest.raises(InputError, match=r"model\.h5 is nothing that export wrote"):
        export(run, "safetensors", run / "model.h5", force=True)
    export(run, "safetensors", tmp_path / "m.model")
    export(run, "safetensors", tmp_path / "m.model", force=True)
    with pytest.raises(InputError, match="is a folder"):
        export(run, "safetensors", tmp_path, force=True)
    assert Model.load(run)
