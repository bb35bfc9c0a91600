from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from plainfilm.cli import main
from plainfilm.commands.label import label
from plainfilm.data.sources import loose
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.export.opened import opened
from plainfilm.image.decode import decode
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.machine.threads import prefetched
from plainfilm.models.gate import fit_gate
from plainfilm.models.model import Model
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.progress import quiet
from plainfilm.storage.files import cache_dir
from plainfilm.storage.tables import growing_csv


def model_file(folder, gate=None, **changes):
    p = Preprocess(size=16)
    network = recipe("vgg").build(2, p)
    initialise(network, torch.Generator().manual_seed(0))
    folder.mkdir(parents=True, exist_ok=True)
    Model(network, "vgg", Decision(("NORMAL", "PNEUMONIA"), "PNEUMONIA", **changes), p, gate=gate).save(
        folder / "model.h5"
    )
    return folder


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def dicom(grey: np.ndarray, view: str) -> bytes:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate = "MARKED^NAME", "MARKED-ID", "19010203"
    data.Modality, data.ViewPosition = "CR", view
    data.Rows, data.Columns = grey.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = grey.tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_the_refer_band_and_the_threshold_of_the_model_decide(tmp_path, films_folder):
    free, banded = model_file(tmp_path / "a"), model_file(tmp_path / "b", refer=(0.0, 1.0), threshold=0.999)
    assert main(["label", str(free), str(films_folder), "--out", str(tmp_path / "a.csv"), "--quiet"]) == 0
    assert main(["label", str(banded), str(films_folder), "--out", str(tmp_path / "b.csv"), "--quiet"]) == 0
    assert {row["refer"] for row in rows(tmp_path / "a.csv")} == {"no"}
    for row in rows(tmp_path / "b.csv"):
        assert row["label"] == "NORMAL" and row["refer"] == "yes"
        assert "is in the band for a reader (0 to 1)" in row["reason"]


def test_dicom_is_labelled_as_its_source_and_a_lateral_view_goes_to_a_reader(tmp_path, films_folder):
    run = model_file(tmp_path / "run")
    source = sorted(films_folder.rglob("*.jpeg"))[0]
    grey, place = decode(source.read_bytes()), tmp_path / "mixed"
    place.mkdir()
    (place / "frontal.dcm").write_bytes(dicom(grey, "PA"))
    (place / "lateral").write_bytes(dicom(grey, "LL"))
    Image.fromarray(grey).save(place / "source.png")
    assert main(["label", str(run), str(place), "--out", str(tmp_path / "o.csv"), "--quiet"]) == 0
    frontal, lateral, png = rows(tmp_path / "o.csv")
    assert frontal["p_PNEUMONIA"] == lateral["p_PNEUMONIA"] == png["p_PNEUMONIA"]
    assert (frontal["refer"], lateral["refer"]) == ("no", "yes") and lateral["reason"] == "DICOM header: lateral view"
    assert "MARKED" not in (tmp_path / "o.csv").read_text() and "1901" not in (tmp_path / "o.csv").read_text()


def test_a_films_figures_do_not_depend_on_its_company(tmp_path, films_folder):
    run = model_file(tmp_path / "run")
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "all.csv"), "--quiet"]) == 0
    for row in rows(tmp_path / "all.csv")[::13]:
        alone = tmp_path / "alone.csv"
        assert main(["label", str(run), row["path"], "--out", str(alone), "--force", "--quiet"]) == 0
        assert rows(alone) == [row]


def test_killed_and_resumed_is_equal_to_never_killed(tmp_path, films_folder):
    run = model_file(tmp_path / "run")
    words = [str(run), *[str(films_folder)] * 20, "--montage", "PICTURE", "--seed", "3", "--quiet", "--out"]
    whole = [str(tmp_path / "w.png") if w == "PICTURE" else w for w in words]
    assert main(["label", *whole, str(tmp_path / "whole.csv")]) == 0
    cut = [str(tmp_path / "c.png") if w == "PICTURE" else w for w in words]
    command = [sys.executable, "-m", "plainfilm", "label", *cut, str(tmp_path / "cut.csv")]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(p.stat().st_size > 8000 for p in tmp_path.glob(".cut.csv.*.begun")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut.csv").exists()
    assert main(["label", *cut, str(tmp_path / "cut.csv"), "--resume"]) == 0
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "w.png").read_bytes()
    assert not list(tmp_path.glob(".cut*"))


def test_resume_refuses_rows_of_other_films(tmp_path, films_folder, capsys):
    run = model_file(tmp_path / "run")
    tag = f"{Model.load(run).hash[:12]}-torch"
    (tmp_path / f".o.csv.{tag}.begun").write_text(
        "path,label,p_NORMAL,p_PNEUMONIA,refer,reason\nother,NORMAL,1,0,no,\n"
    )
    words = ["label", str(run), str(films_folder), "--out", str(tmp_path / "o.csv"), "--quiet"]
    assert main([*words, "--resume"]) == 2
    assert "begun with other films" in capsys.readouterr().err
    assert main(words) == 0 and len(rows(tmp_path / "o.csv")) == 40


@pytest.mark.parametrize(("begun", "resumed"), [("torch16", "32"), ("torch", "16"), ("onnx", "32")])
def test_resume_does_not_go_on_with_rows_of_another_precision(begun, resumed, tmp_path, films_folder, capsys):
    run = model_file(tmp_path / "run")
    name = Model.load(run).hash[:12]
    other = tmp_path / f".o.csv.{name}-{begun}.begun"
    other.write_text("path,label,p_NORMAL,p_PNEUMONIA,refer,reason\n")
    words = ["label", str(run), str(films_folder), "--out", str(tmp_path / "o.csv"), "--quiet", "--precision", resumed]
    assert main([*words, "--resume"]) == 2
    said = capsys.readouterr().err
    own = f"{name}-torch{'16' * (resumed == '16')}"
    assert f"begun by {name}-{begun}, and this is {own}: another model, engine or precision" in said
    assert len(said.strip().splitlines()) == 1 and other.exists()
    assert main(words) == 0 and not other.exists()  # begun anew
    assert json.loads((tmp_path / "o.csv.json").read_text())["model"]["engine"] == own.partition("-")[2]


def test_the_onnx_engine_gives_the_same_labels(tmp_path, films_folder, capsys):
    pytest.importorskip("onnxruntime")
    run = model_file(tmp_path / "run")
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "t.csv"), "--quiet"]) == 0
    assert (
        main(["label", str(run), str(films_folder), "--out", str(tmp_path / "o.csv"), "--engine", "onnx", "--quiet"])
        == 0
    )
    for a, b in zip(rows(tmp_path / "t.csv"), rows(tmp_path / "o.csv"), strict=True):
        assert (a["path"], a["label"], a["refer"]) == (b["path"], b["label"], b["refer"])
        assert float(a["p_PNEUMONIA"]) == pytest.approx(float(b["p_PNEUMONIA"]), abs=1e-5)
    capsys.readouterr()
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "x.csv"), "--engine", "tpu"]) == 2
    assert "no engine 'tpu'" in capsys.readouterr().err


def test_torch_runs_a_run_unless_another_engine_is_asked_for(tmp_path):
    run = model_file(tmp_path / "run")
    assert type(opened(run)) is type(opened(run, engine="torch")) is type(opened(run / "model.h5")) is Model


def test_an_exported_file_alone_gives_the_rows_of_its_run(tmp_path, films_folder):
    pytest.importorskip("onnxruntime")
    films = [decode(path.read_bytes()) for path in sorted(films_folder.rglob("*.jpeg"))]
    pixels = np.stack([Preprocess(size=16).pixels(film) for film in films])
    gate = fit_gate(Rows(pixels, np.arange(len(films)), {}), np.arange(len(films)), np.random.default_rng(0))
    run = model_file(tmp_path / "run", gate=gate, refer=(0.5, 0.502), threshold=0.5)
    place = tmp_path / "mixed"
    place.mkdir()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))).save(place / "ramp.png")
    (place / "lateral.dcm").write_bytes(dicom(films[0], "LL"))
    (place / "broken.jpeg").write_bytes(b"\xff\xd8\xff")
    assert main(["export", str(run), "--format", "onnx", "--out", str(tmp_path / "m.onnx"), "--quiet"]) == 0
    asked = {"torch": [run], "onnx": [run, "--engine", "onnx"], "file": [tmp_path / "m.onnx"]}
    found = {}
    for name, words in asked.items():
        out = tmp_path / f"{name}.csv"
        assert main(["label", *map(str, words), str(films_folder), str(place), "--out", str(out), "--quiet"]) == 0
        found[name] = rows(out)
    for other in ("onnx", "file"):
        for a, b in zip(found["torch"], found[other], strict=True):
            assert [a[k] for k in ("path", "label", "refer", "reason")] == [
                b[k] for k in ("path", "label", "refer", "reason")
            ]
            if a["label"]:
                assert float(a["p_PNEUMONIA"]) == pytest.approx(float(b["p_PNEUMONIA"]), abs=1e-4)
    by_name = {row["path"].rpartition("/")[2]: row for row in found["file"]}
    assert "training films" in by_name["ramp.png"]["reason"] and "lateral" in by_name["lateral.dcm"]["reason"]
    assert by_name["broken.jpeg"]["reason"] and {row["refer"] for row in found["file"]} == {"yes", "no"}


def test_the_picture_is_the_file_named_and_nothing_beside_it(tmp_path, films_folder, capsys):
    run, mine = model_file(tmp_path / "run"), tmp_path / "p.svg"
    mine.write_text("mine")
    words = ["label", str(run), str(films_folder), "--out", str(tmp_path / "o.csv"), "--quiet", "--montage"]
    assert main([*words, str(tmp_path / "p.jpg")]) == 2 and "ends in .png" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").exists() and mine.read_text() == "mine"
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "run"), "--force"]) == 2


def test_a_table_in_use_is_refused(tmp_path, capsys):
    place = tmp_path / "o.csv"
    with growing_csv(place, ("a",), "tag", False):  # noqa: SIM117
        with pytest.raises(InputError, match="being written"), growing_csv(place, ("a",), "tag", True):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["o.csv"]


def test_json_counts_films_for_a_reader(tmp_path, films_folder, capsys):
    run = model_file(tmp_path / "run", refer=(0.0, 1.0))
    assert main(["label", str(run), str(films_folder), "--out", str(tmp_path / "o.csv"), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["films"], found["labelled"], found["refused"], found["referred"]) == (40, 40, 0, 40)


def test_resuming_after_films_went_away_is_refused(tmp_path, films_folder, capsys):
    run = model_file(tmp_path / "run")
    film = str(sorted(films_folder.rglob("*.jpeg"))[0])
    tag = f"{Model.load(run).hash[:12]}-torch"
    row = f"{film},NORMAL,1,0,no,\n"
    (tmp_path / f".o.csv.{tag}.begun").write_text("path,label,p_NORMAL,p_PNEUMONIA,refer,reason\n" + 2 * row)
    assert main(["label", str(run), film, "--out", str(tmp_path / "o.csv"), "--resume", "--quiet"]) == 2
    assert "begun with other films" in capsys.readouterr().err


def test_force_replaces_nothing_that_label_did_not_write(tmp_path, films_folder, capsys):
    run = model_file(tmp_path / "run")
    film = tmp_path / "film.jpeg"
    film.write_bytes(next((films_folder / "NORMAL").iterdir()).read_bytes())
    for place in (film, tmp_path / "run" / "model.h5"):
        before = place.read_bytes()
        assert main(["label", str(run), str(film), "--out", str(place), "--force", "--quiet"]) == 2
        assert "nothing that label wrote" in capsys.readouterr().err and place.read_bytes() == before
    table = ["label", str(run), str(film), "--out", str(tmp_path / "t.csv"), "--quiet"]
    assert main(table) == 0 and main(table) == 2 and main([*table, "--force"]) == 0


def test_the_picture_shows_each_film_under_its_own_label_though_films_come_and_go(tmp_path, films_folder, monkeypatch):
    import plainfilm.labels.summary as summary

    folder, shown = tmp_path / "films", []
    shutil.copytree(films_folder, folder)
    found_again = summary.found_again

    def changed(model, paths, sample):  # between the labels and the picture
        films = sorted(folder.rglob("*.*"))
        shutil.copy(films[0], films[0].with_name("000" + films[0].name))
        films[5].unlink()
        found = found_again(model, paths, sample)
        shown.extend((film[0], row[0]) for film, row, _ in found)
        return found

    monkeypatch.setattr(summary, "found_again", changed)
    label(Model.load(model_file(tmp_path)), [str(folder)], tmp_path / "t.csv", picture=tmp_path / "t.png")
    assert len(shown) >= 20 and all(film == row for film, row in shown)


def test_a_picture_is_written_under_the_very_name_or_not_at_all(tmp_path, films_folder, capsys):
    (tmp_path / "out.png").write_bytes(b"mine")
    words = [
        "label",
        model_file(tmp_path),
        films_folder,
        "--out",
        tmp_path / "t.csv",
        "--montage",
        tmp_path / "out.PNG",
    ]
    assert main([*map(str, words)]) == 2
    assert "ends in .png" in capsys.readouterr().err and (tmp_path / "out.png").read_bytes() == b"mine"


def test_quiet_holds_in_the_threads_that_answer():
    told = quiet.set(True)
    try:
        assert list(prefetched(lambda _: quiet.get(), range(3), 2, 2)) == [True] * 3
    finally:
        quiet.reset(told)


def test_too_little_memory_is_not_the_films_fault(tmp_path, films_folder, monkeypatch, capsys):
    def short(*_, **__):
        raise MemoryError

    monkeypatch.setattr("PIL.Image.Image.convert", short)
    assert main(["label", str(model_file(tmp_path)), str(films_folder), "--out", str(tmp_path / "t.csv")]) == 1
    assert "memory" in capsys.readouterr().err and not (tmp_path / "t.csv").exists()


def test_an_exported_copy_in_the_cache_that_is_damaged_is_made_anew(tmp_path, films_folder):
    run = model_file(tmp_path)
    words = ["label", str(run), str(films_folder), "--engine", "onnx", "--force", "--out"]
    assert main([*words, str(tmp_path / "a.csv")]) == 0
    copies = [*(cache_dir() / "onnx").glob("*.onnx")]
    for copy in copies:
        copy.write_bytes(copy.read_bytes()[:-100])
    assert copies
    assert main([*words, str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_force_takes_no_table_of_the_users_and_a_montage_no_film(tmp_path, films_folder, capsys):
    run, film = model_file(tmp_path / "run"), next(films_folder.rglob("*.jpeg"))
    (tmp_path / "films").mkdir()
    shutil.copy(film, tmp_path / "films" / "a.jpeg")
    (tmp_path / "films" / "b.png").write_bytes(b"\x89PNG")
    (tmp_path / "data.csv").write_text("path,label,patient,split\na.png,A,,\n")
    words = ["label", str(run), str(tmp_path / "films"), "--quiet", "--force", "--out"]
    for more, said in (
        ([str(tmp_path / "data.csv")], "is nothing that label wrote"),
        ([str(tmp_path / "o.csv"), "--montage", str(tmp_path / "films" / "b.png")], "lies among the films"),
        ([str(tmp_path / "o.png"), "--montage", str(tmp_path / "o.png")], "are one file"),
        ([str(tmp_path / "o.csv"), "--montage", str(tmp_path / "data.csv" / "o.png")], "can't be written"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "data.csv").read_text().startswith("path,label,patient") and not (tmp_path / "o.csv").exists()


def test_one_table_is_written_by_one_process_and_not_over_one_that_came_meanwhile(tmp_path):
    out = tmp_path / "o.csv"
    with growing_csv(out, ("a",), "one", False) as rows:
        rows.write(("1",))
        with pytest.raises(InputError, match="being written"), growing_csv(out, ("a",), "two", False):
            pass
    with pytest.raises(InputError, match="exists; choose another name"), growing_csv(out, ("a",), "two", False):
        pass
    with growing_csv(out, ("a",), "two", False, force=True):
        pass
    assert out.read_text() == "a\n"


def test_rows_of_one_engine_are_not_gone_on_with_by_another(tmp_path, films_folder):
    pytest.importorskip("onnxruntime")
    run = model_file(tmp_path / "run")
    words = ["label", str(run), str(films_folder), "--quiet", "--out", str(tmp_path / "o.csv"), "--resume"]
    tag = f"{Model.load(run).hash[:12]}-torch"
    first = loose(films_folder)[0][0]
    begun = tmp_path / f".o.csv.{tag}.begun"
    begun.write_text(f"path,label,p_NORMAL,p_PNEUMONIA,refer,reason\n{first},NORMAL,1,0,no,\n")
    assert main([*words, "--engine", "onnx"]) == 2
    assert begun.exists() and not (tmp_path / "o.csv").exists()
    assert main([*words[:-1], "--engine", "onnx"]) == 0
    assert rows(tmp_path / "o.csv")[0]["p_NORMAL"] != "1" and not begun.exists()


def test_films_that_differ_as_a_set_are_warned_of_in_one_line_and_in_the_companion(tmp_path, make_films, capsys):
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 20, (4, 16, 16))

    def like(count):
        mixed = np.tensordot(rng.normal(size=(count, 4)), patterns, 1) + rng.normal(128, 3, (count, 16, 16))
        return mixed.clip(0, 255).astype(np.uint8)

    trained = like(200)
    gate = fit_gate(Rows(trained, np.arange(200), {}), np.arange(200), rng, classes=np.zeros(200, np.int64))
    run = model_file(tmp_path / "run", gate=gate)
    (tmp_path / "same").mkdir()
    for i, film in enumerate(like(30)):
        Image.fromarray(film).save(tmp_path / "same" / f"{i}.png")
    make_films(tmp_path / "other", 15, 15)
    found = {}
    for name in ("same", "other"):
        out = tmp_path / f"{name}.csv"
        assert main(["label", str(run), str(tmp_path / name), "--out", str(out), "--json"]) == 0
        said = capsys.readouterr()
        found[name] = json.loads(said.out)["as_a_set"]
        assert (said.err.count("WARNING: As a set, these 30 films differ")) == (name == "other")
        companion = json.loads((tmp_path / f"{name}.csv.json").read_text())
        assert companion["as_a_set"] == found[name] and companion["films"] == 30 and companion["labels_of"] == out.name
    assert found["same"] == {"judged": 30, "warning": None} and found["other"]["p"] < 0.02
    (tmp_path / "same.csv").unlink()
    words = ["label", str(run), str(tmp_path / "same"), "--out", str(tmp_path / "same.csv"), "--quiet"]
    assert main(words) == 2 and "same.csv.json exists" in capsys.readouterr().err
    (tmp_path / "same.csv.json").write_text("mine")
    assert main([*words, "--force"]) == 2 and "nothing that label wrote" in capsys.readouterr().err
