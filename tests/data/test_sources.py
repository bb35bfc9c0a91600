from __future__ import annotations

import csv
import io
import os
import re
import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from plainfilm.data import dicom, reading
from plainfilm.data.films import FilmError, read_films, write_films
from plainfilm.data.identity import find_patient
from plainfilm.data.reading import MAX_OTHER, read_file
from plainfilm.data.sources import load, loose, stream
from plainfilm.errors import InputError
from plainfilm.image.decode import decode


def test_class_folders_give_label_and_patient_sorted_by_path(films_folder):
    films = load(films_folder)
    assert [f.path for f in films] == sorted(f.path for f in films)
    assert films.counts == {"NORMAL": 16, "PNEUMONIA": 24}
    assert films.films[0].path == "NORMAL/IM-0000-0000.jpeg" and films.films[0].patient == "IM-0000"
    assert {f.patient for f in films if f.label == "PNEUMONIA"} == {f"person{i}" for i in range(12)}
    assert not films.synthetic


def test_kaggle_layout_gives_the_part_even_inside_another_folder_and_beside_junk(tmp_path, make_films):
    for part in ("train", "val", "test"):
        make_films(tmp_path / "outer" / "chest_xray" / part, 2, 2)
    (tmp_path / "outer" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "outer" / "chest_xray" / "train" / "NORMAL" / "Thumbs.db").write_bytes(b"x")
    make_films(tmp_path / "outer" / "__MACOSX" / "train", 1, 1)
    films = load(tmp_path / "outer")
    assert len(films) == 12 and {f.part for f in films} == {"train", "val", "test"}
    assert films.films[0].path == "chest_xray/test/NORMAL/IM-0000-0000.jpeg"


def test_a_second_copy_inside_the_first_is_left_out_and_said(tmp_path, make_films):
    """Kaggle's zip of these films holds them twice: chest_xray/train and chest_xray/chest_xray/train."""
    for place in ("chest_xray", "chest_xray/chest_xray"):
        for part in ("train", "test"):
            make_films(tmp_path / place / part, 2, 2)
    films = load(tmp_path)
    assert len(films) == 8 and films.classes == ("NORMAL", "PNEUMONIA")
    assert "8 files that are not films, or lie among masks or in a second copy of the set" in films.notes[0]


def test_a_table_in_a_folder_may_be_larger_than_a_film_and_is_named_when_at_fault(tmp_path, make_films, monkeypatch):
    monkeypatch.setattr(reading, "MAX_OTHER", 20_000)
    make_films(tmp_path, 2, 2)
    table = tmp_path / "films.csv"
    table.write_text("path,label,note\n" + f"NORMAL/IM-0000-0000.jpeg,A,{'x' * 30_000}\nPNEUMONIA/none.jpeg,B,\n")
    assert load(tmp_path).classes == ("A", "B")
    table.write_text("path,label\n,A\n")
    with pytest.raises(InputError, match=r"row 2 has no path"):
        load(tmp_path)
    table.write_text("path,label\nNORMAL/a,b.jpeg,A\n")
    with pytest.raises(InputError, match=rf"{table}, row 2: has more cells"):
        load(tmp_path)


def test_a_file_that_is_no_film_is_left_out_with_a_remark_and_one_without_ending_is_looked_into(
    tmp_path, make_films, make_film
):
    make_films(tmp_path, 2, 2)
    (tmp_path / "NORMAL" / "notes.txt").write_text("x")
    (tmp_path / "NORMAL" / "scan").write_bytes(make_film(9, False))
    films = load(tmp_path)
    assert len(films) == 5 and "notes.txt" in films.notes[0]


@pytest.mark.parametrize("layout", ["csv", "parquet"])
def test_tables(tmp_path, films_folder, layout):
    rows = [
        {"path": str(films_folder / "NORMAL/IM-0000-0000.jpeg"), "label": "0", "patient": "a", "split": "train"},
        {
            "path": str(films_folder / "PNEUMONIA/person0_bacteria_0.jpeg"),
            "label": "1",
            "patient": "b",
            "split": "test",
        },
    ]
    table = tmp_path / f"films.{layout}"
    if layout == "csv":
        with open(table, "w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    films = load(table)
    assert [(f.label, f.patient, f.part) for f in films] == [("0", "a", "train"), ("1", "b", "test")]
    assert all(decode(f.read()).shape == (56, 72) for f in films)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,kind\na,b\n", "lacks the column label"),
        ("path,label\na.png,x\na.png,y\n", "row 3 lists a.png again, as x and as y"),
        ("path,label\n,x\n", "row 2 has no path"),
        ("path,label,split\na.png,x,exam\n", "unknown split 'exam'"),
        ("path,label\n", "holds no films"),
        ("", "is empty"),
        ('path,label\n"a.png,x\n', "not a CSV file"),
    ],
)
def test_a_table_at_fault_is_one_sentence(tmp_path, text, said):
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        load(table)


def test_a_path_that_is_absent_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.png,x\nb.png,y\n")
    with pytest.raises(FilmError, match="No such file"):
        load(tmp_path / "t.csv").films[0].read()


def test_zip_of_class_folders_equals_the_folder(tmp_path, films_folder):
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for path in sorted(films_folder.rglob("*.jpeg"), reverse=True):
            z.write(path, f"chest/{path.relative_to(films_folder)}")
        z.writestr("__MACOSX/chest/NORMAL/x.jpeg", b"x")
    zipped, plain = load(archive), load(films_folder)
    assert [f.path for f in zipped] == [f"chest/{f.path}" for f in plain]
    assert [f.read() for f in zipped] == [f.read() for f in plain]


def test_hostile_zip_members_are_refused_one_by_one(tmp_path, make_film):
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("A/bomb.png", bytes(MAX_OTHER + 1))
        z.writestr("A/../../slip.png", make_film(1, False))
        z.writestr("B/good.jpeg", make_film(2, True))
        z.writestr("B/twice.jpeg", make_film(3, True))
        with pytest.warns(UserWarning, match="Duplicate name"):
            z.writestr("B/twice.jpeg", make_film(4, True))
    data = bytearray(archive.read_bytes())
    films = {f.path: f for f in load(archive)}
    with pytest.raises(FilmError, match="larger than 16 MB"):
        films["A/bomb.png"].read()
    with pytest.raises(FilmError, match="two zip members"):
        films["B/twice.jpeg"].read()
    assert films["B/good.jpeg"].read() == make_film(2, True)
    at = data.index(b"PK\x01\x02")  # the first entry of the directory: set its flag "encrypted"
    data[at + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(FilmError, match="encrypted"):
        next(f for f in load(archive) if f.path == "A/bomb.png").read()


def test_medmnist_npz(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{part}_images"] = rng.integers(0, 255, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(count)[:, None] % 2
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    films = load(tmp_path / "pneumoniamnist.npz")
    assert films.counts == {"normal": 6, "pneumonia": 6}
    first = next(f for f in films if f.path == "test/000001")
    assert first.part == "test" and first.label == "pneumonia"
    assert (decode(first.read()) == arrays["test_images"][1]).all()


def test_a_large_npz_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("plainfilm.data.arrays.IN_MEMORY", 1000)
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for save, name in ((np.savez, "a.npz"), (np.savez_compressed, "b.npz")):
        save(tmp_path / name, train_images=images, train_labels=np.arange(6) % 2)
        films = load(tmp_path / name)
        assert all((decode(film.read()) == image).all() for film, image in zip(films, images, strict=True))
        assert isinstance(films.films[0].source.args[0]["train"].base, np.memmap)
    assert len(list((tmp_path / "cache" / "unpacked").iterdir())) == 2
    load(tmp_path / "a.npz")
    assert len(list((tmp_path / "cache" / "unpacked").iterdir())) == 2


def test_an_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", train_images=np.array([{}], dtype=object), train_labels=np.zeros(1))
    with pytest.raises(InputError, match="not a MedMNIST file"):
        load(tmp_path / "x.npz")


def test_odd_files_in_a_folder_have_a_reason(tmp_path, make_films):
    make_films(tmp_path, 2, 2)
    os.symlink(tmp_path / "nowhere", tmp_path / "NORMAL" / "dangling.png")
    os.symlink("/dev/zero", tmp_path / "NORMAL" / "zero.png")
    os.symlink(tmp_path, tmp_path / "NORMAL" / "loop")
    os.mkfifo(tmp_path / "NORMAL" / "fifo.png")
    (tmp_path / "NORMAL" / "large.png").write_bytes(bytes(MAX_OTHER + 1))
    reasons = {}
    for film in load(tmp_path):
        try:
            film.read()
        except FilmError as error:
            reasons[Path(film.path).name] = str(error)
    assert set(reasons) == {"dangling.png", "zero.png", "fifo.png", "large.png"}
    assert (
        reasons["zero.png"] == reasons["fifo.png"] == "not a regular file" and "limit is 16 MB" in reasons["large.png"]
    )


ODD_NAMES = ["with space.jpeg", 'quo"te.jpeg', "new\nline.jpeg", "ü.jpeg", "n" * 250 + ".jpeg", "\udcff\udcfe.jpeg"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(tmp_path, make_films, make_film, name):
    make_films(tmp_path, 2, 2)
    (tmp_path / "NORMAL" / name).write_bytes(make_film(5, False))
    films = load(tmp_path)
    assert f"NORMAL/{name}" in [f.path for f in films]
    write_films(films, tmp_path)
    assert f"NORMAL/{name}" in [row["path"] for row in read_films(tmp_path / "films.csv")]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda p, m: p.mkdir(), "holds no films"),
        (lambda p, m: m(p, 3, 0), r"one class only \(NORMAL, 3 films\)"),
        (lambda p, m: p.write_text("x"), "is not a folder, CSV"),
        (lambda p, m: None, "does not exist"),
    ],
)
def test_nothing_to_classify(tmp_path, make_films, build, said):
    build(tmp_path / "data", make_films)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "data")


def test_a_film_in_no_class_folder(tmp_path, make_films, make_film):
    make_films(tmp_path, 2, 2)
    (tmp_path / "stray.jpeg").write_bytes(make_film(1, False))
    with pytest.raises(InputError, match=r"stray\.jpeg is in no class folder"):
        load(tmp_path)


def test_demo_source_is_synthetic_and_named_so():
    films = load("demo:12")
    assert len(films) == 12 and films.synthetic and films.classes == ("NORMAL", "PNEUMONIA")
    with pytest.raises(InputError, match="demo:240"):
        load("demo:many")


@pytest.mark.parametrize(
    ("path", "patient"),
    [
        ("train/PNEUMONIA/person1000_bacteria_2931.jpeg", "person1000"),
        ("NORMAL/IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL/NORMAL2-IM-0385-0001.jpeg", "NORMAL2-IM-0385"),
        ("images/00000013_005.png", "00000013"),
        ("train/patient00001/study1/view1_frontal.jpg", "patient00001"),
        ("NORMAL/film.png", ""),
    ],
)
def test_patients_in_known_names(path, patient):
    assert find_patient(path) == patient


def test_patient_regex(films_folder):
    films = load(films_folder, r"_(bacteria)_|(?:IM-)(\d+)")
    assert {f.patient for f in films if f.label == "PNEUMONIA"} == {"bacteria"}
    for wrong, said in (("(", "not a regular expression"), ("abc", "needs a group")):
        with pytest.raises(InputError, match=said):
            load(films_folder, wrong)


def test_loose_films_keep_the_path_as_given(tmp_path, films_folder):
    one = films_folder / "NORMAL/IM-0000-0000.jpeg"
    assert loose(str(one))[0][0] == str(one)
    assert loose(f"{films_folder}/NORMAL/")[0][0] == str(one)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.write(one, "a.jpeg")
    (tmp_path / "z.zip").write_bytes(buffer.getvalue())
    [(name, read)] = loose(tmp_path / "z.zip")
    assert name == f"{tmp_path}/z.zip/a.jpeg" and read() == one.read_bytes()
    with pytest.raises(InputError, match="does not exist"):
        loose(tmp_path / "none")


def test_the_real_films(shared):
    films = load(shared / "data/chest_xray_224/train")
    assert films.counts == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert len({f.patient for f in films}) == 2846 and all(f.patient for f in films)


# --- DICOM ------------------------------------------------------------------------------------------------------------


def dicom_film(patient: str | None, picture: bytes) -> bytes:
    """The film in ``picture`` as implicit-VR DICOM, element by element."""
    grey = decode(picture)

    def element(group: int, number: int, value: bytes) -> bytes:
        value += b" " * (len(value) % 2) if group in (8, 16) else b"\0" * (len(value) % 2)
        return struct.pack("<HHI", group, number, len(value)) + value

    short = "<H"
    parts = [element(8, 0x60, b"DX")] + ([element(16, 0x20, patient.encode())] if patient else [])
    parts += [element(0x28, 2, struct.pack(short, 1)), element(0x28, 4, b"MONOCHROME2 ")]
    for at, value in ((0x10, grey.shape[0]), (0x11, grey.shape[1]), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)):
        parts.append(element(0x28, at, struct.pack(short, value)))
    parts.append(element(0x7FE0, 0x10, grey.tobytes()))
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 18) + b"1.2.840.10008.1.2\0"
    return bytes(128) + b"DICM" + meta + b"".join(parts)


@pytest.fixture
def dicom_folder(tmp_path, make_film):
    """Class folders with three endings; two films a patient; a DICOMDIR that is no film."""
    for i in range(4):
        for sick, label in ((False, "NORMAL"), (True, "PNEUMONIA")):
            place = tmp_path / "set" / label / ("IM-0001-" + f"{i:04d}" + (".dcm", ".dicom", "", ".1")[i])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(dicom_film(f"{label}{i // 2}", make_film(i, sick)))
    (tmp_path / "set" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return tmp_path / "set"


def test_dicom_in_class_folders_whatever_the_ending_groups_by_patient(dicom_folder, make_film):
    films = load(dicom_folder)
    assert films.counts == {"NORMAL": 4, "PNEUMONIA": 4}
    assert Counter(Counter(f.patient for f in films).values()) == {2: 4}
    assert all(re.fullmatch("dicom-[0-9a-f]{16}", f.patient) for f in films)
    assert (decode(films.films[1].read()) == decode(make_film(1, False))).all()
    assert len(loose(dicom_folder)) == 8


def test_a_zip_and_a_table_of_dicom_give_the_same_patients(tmp_path, dicom_folder):
    plain = {f.path: f.patient for f in load(dicom_folder)}
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for path in plain:
            z.write(dicom_folder / path, path)
    assert {f.path: f.patient for f in load(tmp_path / "set.zip")} == plain
    rows = [f"{path},{path.split('/')[0].lower()},{'x' if path.endswith('.dcm') else ''}" for path in plain]
    (dicom_folder / "films.csv").write_text("\n".join(["path,label,patient", *rows]))
    for source in (dicom_folder, dicom_folder / "films.csv"):
        films = load(source)
        assert films.classes == ("normal", "pneumonia")
        assert all(f.patient == ("x" if f.path.endswith(".dcm") else plain[f.path]) for f in films)


def test_patient_regex_goes_before_the_header_and_the_header_before_known_names(dicom_folder, make_film):
    patients = {f.path: f.patient for f in load(dicom_folder, r"(0003)")}
    assert patients["NORMAL/IM-0001-0003.1"] == "0003" and patients["NORMAL/IM-0001-0000.dcm"].startswith("dicom-")
    (dicom_folder / "NORMAL" / "IM-0007-0001.dcm").write_bytes(dicom_film(None, make_film(9, False)))
    assert {f.path: f.patient for f in load(dicom_folder)}["NORMAL/IM-0007-0001.dcm"] == "IM-0007"


def test_a_header_that_cannot_be_read_stops_nothing(dicom_folder):
    (dicom_folder / "NORMAL" / "bad.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\0" * 50)
    (dicom_folder / "NORMAL" / "png.dcm").write_bytes(b"\x89PNG")
    (dicom_folder / "NORMAL" / "gone.dcm").symlink_to("nowhere")
    patients = {Path(f.path).name: f.patient for f in load(dicom_folder)}
    assert patients["bad.dcm"] == patients["png.dcm"] == patients["gone.dcm"] == ""


def test_only_the_beginning_of_a_dicom_file_is_read_for_its_patient(dicom_folder, monkeypatch):
    """A detector's film has 20 MB, and a folder thousands of them."""
    for path in dicom_folder.glob("*/*"):
        os.truncate(path, 20 * 2**20)
    asked = []
    original = dicom.about
    monkeypatch.setattr(dicom, "about", lambda data, **how: asked.append(len(data)) or original(data, **how))
    films = load(dicom_folder)
    assert asked == [dicom.HEAD] * 8 and all(f.patient for f in films)
    assert len(films.films[0].read()) == 20 * 2**20 and decode(films.films[0].read()).shape == (56, 72)


def test_columns_of_the_header_come_with_the_films_and_no_institution_is_named(dicom_folder):
    for k, path in enumerate(sorted(dicom_folder.glob("*/*"))):
        film = pydicom.dcmread(path)
        film.Manufacturer, film.ManufacturerModelName = "Fuji", f"FCR {k % 2}"
        film.PatientAge, film.PatientSex, film.ViewPosition = "058Y", "MF"[k % 2], "PA"
        film.InstitutionName = "St. Elsewhere"
        film.save_as(path)
    films = load(dicom_folder)
    assert set(films.columns) == {
        *("Manufacturer", "ModelName", "PatientAge", "PatientSex", "ViewPosition", "InstitutionName (hashed)")
    }
    assert films[0].columns["PatientAge"] == "58" and films[0].columns["Manufacturer"] == "Fuji"
    assert re.fullmatch("[0-9a-f]{8}", films[0].columns["InstitutionName (hashed)"])
    assert "Elsewhere" not in repr(films) + repr(list(films))
    assert "Columns kept with each film: InstitutionName (hashed), Manufacturer, ModelName" in films.notes[-1]
    table = "\n".join(["path,label,ModelName", *(f"{f.path},{f.label},mine" for f in films)])
    (dicom_folder.parent / "t.csv").write_text(table)
    named = load(dicom_folder.parent / "t.csv")
    assert set(named.columns["ModelName"]) == {"mine"}


def test_a_patient_behind_a_long_value_is_found(dicom_folder):
    path = dicom_folder / "NORMAL" / "IM-0001-0000.dcm"
    before = {f.path: f.patient for f in load(dicom_folder)}
    data = path.read_bytes()
    at = data.index(b"\x08\0\x60\0")
    long = struct.pack("<HHI", 8, 0x55, 100_000) + bytes(100_000)
    path.write_bytes(data[:at] + long + data[at:])
    assert {f.path: f.patient for f in load(dicom_folder)} == before


def test_a_film_has_a_larger_limit_and_keeps_it(tmp_path, dicom_folder, monkeypatch):
    large = dicom_folder / "NORMAL" / "IM-0001-0000.dcm"
    monkeypatch.setattr(reading, "MAX_BYTES", 17 * 2**20)
    os.truncate(large, 17 * 2**20 + 1)
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.write(large, "a.dcm")
    for place in (large, tmp_path / "z.zip"):
        [(_, read)] = loose(place)
        with pytest.raises(FilmError, match="17 MB"):
            read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path, make_films):
    (make_films(tmp_path, 2, 2) / "NORMAL" / "IM-0000-0000.jpeg").chmod(0)
    with pytest.raises(FilmError, match="Permission denied"):
        load(tmp_path).films[0].read()


def test_films_stream_in_the_order_of_their_paths_whatever_the_names(tmp_path, make_film):
    names = [
        "a.b/1.png",
        "a/2.png",
        "a-b/3.png",
        "a b.png",
        "a.png",
        "a/b/4.png",
        "a/b.png",
        "B/5.png",
        "a!/6.png",
        "é.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(make_film(1, True, form="PNG"))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to(tmp_path)
    assert [path for path, _ in stream(tmp_path)] == [f"{tmp_path}/{name}" for name in sorted(names)]
    assert [read() for _, read in stream(tmp_path)] == [make_film(1, True, form="PNG")] * len(names)


def test_a_folder_is_listed_only_when_its_turn_comes(tmp_path, monkeypatch):
    for ward in range(5):
        (tmp_path / f"ward{ward}").mkdir()
        (tmp_path / f"ward{ward}" / "a.jpeg").touch()
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: listed.append(Path(place).name) or scandir(place))
    films = stream(tmp_path)
    next(films), next(films)
    assert listed == [tmp_path.name, "ward0", "ward1"]


@pytest.mark.parametrize(
    ("outer", "parts"), [(("Training", "Testing"), ("train", "test")), (("TRAIN", "dev"), ("train", "val"))]
)
def test_folders_named_otherwise_are_parts_too(tmp_path, make_films, outer, parts):
    for name in outer:
        make_films(tmp_path / name, 2, 2)
    films = load(tmp_path)
    assert films.classes == ("NORMAL", "PNEUMONIA") and {film.part for film in films} == set(parts)


def test_masks_beside_the_films_are_no_films(tmp_path, make_film):
    for i, name in enumerate(("COVID", "Normal")):
        for inner in ("images", "masks"):
            (tmp_path / name / inner).mkdir(parents=True)
            (tmp_path / name / inner / "a.jpeg").write_bytes(make_film(i, bool(i)))
    films = load(tmp_path)
    assert [film.path for film in films] == ["COVID/images/a.jpeg", "Normal/images/a.jpeg"]
    assert "2 files that are not films, or lie among masks" in films.notes[0]


def test_class_folders_that_hold_the_same_folders_are_asked_about(tmp_path, make_films):
    for name in ("site1", "site2"):
        make_films(tmp_path / name, 2, 2)
    films = load(tmp_path)
    assert films.classes == ("site1", "site2")
    assert "holds the same folders NORMAL, PNEUMONIA: if these are the classes" in films.notes[0]


def test_films_behind_a_linked_folder_are_found_and_a_loop_ends(tmp_path, make_films):
    there = make_films(tmp_path / "there", 2, 3)
    (tmp_path / "set").mkdir()
    for name in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "set" / name).symlink_to(there / name)
    (there / "NORMAL" / "round").symlink_to(tmp_path / "set")
    films = load(tmp_path / "set")
    assert {film.path.split("/")[-1] for film in films if film.label == "PNEUMONIA"} >= {"person0_bacteria_0.jpeg"}
    assert len(loose(tmp_path / "set")) == len(films) < 20


def test_one_file_under_two_spellings_of_its_path_is_refused(films_folder, tmp_path):
    film = next((films_folder / "NORMAL").iterdir())
    table = tmp_path / "t.csv"
    table.write_text(f"path,label\n{film},A\n{film.parent}/./{film.name},B\n")
    with pytest.raises(InputError, match="again, as A and as B"):
        load(table)


def test_a_name_that_every_study_repeats_is_no_patient(tmp_path, make_film):
    for i in range(12):
        place = tmp_path / "AB"[i % 2] / f"study{i}"
        place.mkdir(parents=True)
        (place / "IM-0001-0001.jpeg").write_bytes(make_film(i, bool(i % 2)))
    assert {film.patient for film in load(tmp_path)} == {""}


def test_a_large_tiff_is_read_and_a_large_file_of_anything_is_not(tmp_path):
    large = tmp_path / "large.tif"
    Image.fromarray(np.arange(3400 * 2800, dtype=np.uint16).reshape(3400, 2800)).save(large)
    assert large.stat().st_size > 16 * 2**20 and decode(read_file(large)).shape == (3400, 2800)
    large.rename(tmp_path / "other.png")
    (tmp_path / "other.png").write_bytes(b"\x89PMG" + bytes(17 * 2**20))
    with pytest.raises(FilmError, match="the limit is 16 MB"):
        read_file(tmp_path / "other.png")


def test_links_inside_the_set_upwards_and_to_each_other_add_nothing(tmp_path, make_films):
    data = make_films(tmp_path / "outer" / "set", 2, 2)
    (data / "up").symlink_to(tmp_path / "outer")
    (data / "NORMAL" / "self").symlink_to("self")
    (data / "NORMAL" / "beside").symlink_to(data / "PNEUMONIA")
    assert len(load(data)) == 4 and load(data).classes == ("NORMAL", "PNEUMONIA")
    other = tmp_path / "elsewhere"
    other.mkdir()
    for i in range(8):
        (other / f"d{i}").mkdir()
        for j in range(8):
            if i != j:
                (other / f"d{i}" / f"to{j}").symlink_to(other / f"d{j}")
    (data / "PNEUMONIA" / "web").symlink_to(other)
    assert len(load(data)) == 4


def test_masks_in_folders_of_their_own_leave_the_classes_inside(tmp_path, make_films):
    make_films(tmp_path / "images", 2, 2)
    make_films(tmp_path / "masks", 2, 2)
    assert load(tmp_path).classes == ("NORMAL", "PNEUMONIA") and len(load(tmp_path)) == 4


def test_a_table_in_a_zip_may_name_a_hidden_folder_and_a_member_may_have_a_root(tmp_path, make_film):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(".c/a.png", make_film(0, False))
        archive.writestr("films.csv", "path,label\n.c/a.png,A\nb.png,B\n")
        archive.writestr("b.png", make_film(1, True))
    assert all(film.read() for film in load(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("/NORMAL/a.png", make_film(0, False))
        archive.writestr("SICK/b.png", make_film(1, True))
    assert len(load(tmp_path / "b.zip")) == 2


def test_classes_that_differ_in_capitals_are_one_and_it_is_said(tmp_path, make_films):
    make_films(tmp_path / "train", 4, 4)
    make_films(tmp_path / "test", 2, 2)
    (tmp_path / "test" / "NORMAL").rename(tmp_path / "test" / "Normal")
    films = load(tmp_path)
    assert films.classes == ("NORMAL", "PNEUMONIA") and films.counts["NORMAL"] == 6
    assert "Classes that differ in capitals only: Normal taken for NORMAL" in films.notes


def test_the_table_in_the_folder_around_everything_counts_and_several_are_asked_about(tmp_path, make_films):
    make_films(tmp_path / "set" / "nih" / "images_001", 2, 2)
    there = sorted((tmp_path / "set" / "nih").rglob("*.jpeg"))
    inside = [path.relative_to(tmp_path / "set" / "nih").as_posix() for path in (there[0], there[-1])]
    table = tmp_path / "set" / "nih" / "films.csv"
    table.write_text(f"path,label\n{inside[0]},well\n{inside[1]},ill\n")
    (table.parent / "Data_Entry.csv").write_text("Image Index,Finding Labels\na.png,None\n")
    (table.parent / "empty.csv").write_text("")
    (table.parent / "twice.csv").write_text("id,id\n")
    with zipfile.ZipFile(tmp_path / "nih.zip", "w") as z:
        for path in sorted((tmp_path / "set").rglob("*.*")):
            z.write(path, path.relative_to(tmp_path / "set"))
    for source in (tmp_path / "set", tmp_path / "nih.zip"):
        films = load(source)
        assert films.classes == ("ill", "well") and "taken from nih/films.csv" in films.notes[-1]
        assert all(decode(film.read()).size for film in films)
    table.write_text(f"path,label\nnih/{inside[0]},well\nnih/{inside[1]},ill\n")  # from the root, as some do
    assert all(decode(film.read()).size for film in load(tmp_path / "set"))
    (table.parent / "more.csv").write_text(table.read_text())
    with pytest.raises(InputError, match=r"several lists of films \(nih/films.csv, nih/more.csv\)"):
        load(tmp_path / "set")


def test_what_a_model_said_is_not_taken_for_labels(tmp_path, make_films):
    make_films(tmp_path, 3, 3)
    (tmp_path / "labels.csv").write_text(
        "path,label,p_NORMAL,p_PNEUMONIA,refer,reason\nNORMAL/IM-0000-0000.jpeg,PNEUMONIA,0,1,no,\n"
    )
    films = load(tmp_path)
    assert films.counts == {"NORMAL": 3, "PNEUMONIA": 3} and "labels.csv" in films.notes[0]
    (tmp_path / "labels.csv").write_text(
        "path,label,p_value\nNORMAL/IM-0000-0000.jpeg,a,0\nPNEUMONIA/person0_virus_0.jpeg,b,1\n"
    )
    assert load(tmp_path).classes == ("a", "b")


def test_what_plainfilm_wrote_among_the_films_is_no_class(tmp_path, make_films, make_film):
    make_films(tmp_path, 3, 3)
    (tmp_path / "audit" / "figures").mkdir(parents=True)
    (tmp_path / "audit" / "figures" / "sizes.png").write_bytes(make_film(1, True, form="PNG"))
    for name in ("SHA256SUMS", "audit.json", "manifest.csv"):
        (tmp_path / "audit" / name).write_text("")
    assert load(tmp_path).classes == ("NORMAL", "PNEUMONIA")
    assert "in what plainfilm wrote" in load(tmp_path).notes[0]
    for name in ("SHA256SUMS", "config.json", "metrics.json"):  # the user's own
        (tmp_path / "NORMAL" / name).write_text("")
    assert load(tmp_path).counts == {"NORMAL": 3, "PNEUMONIA": 3}
    make_films(tmp_path / "other" / "run", 2, 2)
    for name in ("SHA256SUMS", "config.json", "model.json"):  # around everything
        (tmp_path / "other" / "run" / name).write_text("")
    assert len(load(tmp_path / "other")) == 4


@pytest.mark.parametrize("part", ["train", "test"])
def test_films_in_a_part_without_a_class_are_no_class_of_their_own(tmp_path, make_films, make_film, part):
    make_films(tmp_path / "train", 3, 3)
    (tmp_path / part / "a.jpeg").parent.mkdir(exist_ok=True)
    (tmp_path / part / "a.jpeg").write_bytes(make_film(1, True))
    with pytest.raises(InputError, match=f"{part}/a.jpeg is in no class folder"):
        load(tmp_path)


def test_columns_in_capitals_count_and_others_that_speak_of_patients_are_named(tmp_path, films_folder):
    names = [p.relative_to(films_folder).as_posix() for p in sorted(films_folder.rglob("*.jpeg"))]
    rows = [f"{films_folder / name},{name.split('/')[0]},p{i // 2},train" for i, name in enumerate(names)]
    (tmp_path / "a.csv").write_text("\n".join(["Path,Label,Patient,Split", *rows]))
    films = load(tmp_path / "a.csv")
    assert films.films[0].patient.startswith("p") and films.films[0].part == "train" and not films.notes
    (tmp_path / "b.csv").write_text("\n".join(["path,label,patient_key,split", *rows]))
    assert "patient_key: not taken for patients" in load(tmp_path / "b.csv").notes[0]
    for header in (",path,label", "path,label,"):  # a column without a name, as pandas writes its index
        lines = [
            f"{i},{r[: r.index(',p')]}" if header[0] == "," else f"{r[: r.index(',p')]},note"
            for i, r in enumerate(rows)
        ]
        (tmp_path / "c.csv").write_text("\n".join([header, *lines]))
        films = load(tmp_path / "c.csv")
        assert len(films) == 40 and {f.part for f in films} == {""}
        assert {f.patient for f in films} == {f.patient for f in load(films_folder)}


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("image,Finding,Patient No,set", "image for path, Finding for label, Patient No for patient, set for split"),
        ("Dateiname,Befund,Pat-ID,Partition", "Dateiname for path, Befund for label, Pat-ID for patient, Partition"),
        ("Image Index,target,SubjectID,subset", "Image Index for path, target for label, SubjectID for patient"),
    ],
)
@pytest.mark.parametrize("where", ["table", "folder"])
@pytest.mark.parametrize("named", ["path", "name", "stem"])
def test_columns_of_another_program_are_taken_for_what_they_are(tmp_path, films_folder, header, taken, where, named):
    pictures = tmp_path / "images"
    pictures.mkdir()
    rows = [header]
    for i, film in enumerate(sorted(films_folder.rglob("*.jpeg"))):
        copy = pictures / f"f{i:03}.jpeg"
        copy.write_bytes(film.read_bytes())
        name = {"path": f"images/{copy.name}", "name": copy.name, "stem": copy.stem}[named]
        rows.append(f"{name},{film.parent.name},{i // 2},{('Train', 'dev', 'TEST ')[i // 2 % 3]}")
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    films = load(tmp_path / "truth.csv" if where == "table" else tmp_path)
    assert taken in films.notes[0]
    assert films.counts == load(films_folder).counts and films.films[0].read()
    assert len({f.patient for f in films}) == 20 and [f.part for f in films[:6:2]] == ["train", "val", "test"]


def test_two_columns_that_may_be_the_label_are_asked_about_and_folds_are_no_parts(tmp_path, films_folder):
    path = next(films_folder.rglob("*.jpeg"))
    (tmp_path / "t.csv").write_text(f"file,diagnosis,target\n{path},x,y\n")
    with pytest.raises(InputError, match="diagnosis or target may be the label; name the one that is meant label"):
        load(tmp_path / "t.csv")
    paths = sorted(films_folder.rglob("*.jpeg"))
    (tmp_path / "t.csv").write_text(
        "file,class,fold\n" + "\n".join(f"{p},{i % 2},{i % 5}" for i, p in enumerate(paths))
    )
    films = load(tmp_path / "t.csv")
    assert {f.part for f in films} == {""} and list(films.films.columns) == ["fold"]


def test_a_table_in_other_words_beside_class_folders_does_not_go_before_them(tmp_path, make_films):
    make_films(tmp_path, 3, 3)
    film = next(tmp_path.rglob("*.jpeg")).relative_to(tmp_path)
    (tmp_path / "scanners.csv").write_text(f"image,class\n{film},old\n")
    assert load(tmp_path).classes == ("NORMAL", "PNEUMONIA")


def test_a_label_that_says_not_known_is_no_class(tmp_path, films_folder):
    paths = sorted(films_folder.rglob("*.jpeg"))
    words = ("Unknown", "unlabelled", "yes", "no")
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(f"{p},{words[i % 4]}" for i, p in enumerate(paths)))
    assert load(tmp_path / "t.csv").counts == {"no": 10, "yes": 10}


def test_labels_in_windows_letters_are_read_and_those_that_are_no_numbers_refused(tmp_path, films_folder):
    names = [p.relative_to(films_folder).as_posix() for p in sorted(films_folder.rglob("*.jpeg"))]
    rows = "".join(f"{films_folder / name},{'sana' if i % 2 else 'neumonía'}\n" for i, name in enumerate(names))
    (tmp_path / "a.csv").write_bytes(f"path,label\n{rows}".encode("latin-1"))
    assert load(tmp_path / "a.csv").counts == {"neumonía": 20, "sana": 20}
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for labels in (np.array([0, 1, -1, 0, 1, 1]), np.array([0, 0.9, 1, 1, 0, 1])):
        np.savez(tmp_path / "a.npz", train_images=images, train_labels=labels)
        with pytest.raises(InputError, match="whole numbers from 0"):
            load(tmp_path / "a.npz")
    for labels in (np.array([0, 1, 1, 0, 1, 0], bool), np.array(list("011010"))):
        np.savez(tmp_path / "a.npz", train_images=images, train_labels=labels)
        assert load(tmp_path / "a.npz").counts == {"0": 3, "1": 3}


def test_a_missing_value_of_parquet_is_no_class(tmp_path, films_folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = [str(p) for p in sorted(films_folder.rglob("*.jpeg"))][:6]
    table = pyarrow.table({"path": names, "label": [0.0, 1.0, float("nan"), 1.0, 0.0, None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    films = load(tmp_path / "a.parquet")
    assert films.counts == {"0": 2, "1": 2} and films.notes[0].startswith("2 of 6 films have no label")


def test_a_patient_in_front_of_a_long_sequence_is_found(dicom_folder):
    before = {f.path: f.patient for f in load(dicom_folder)}
    path = dicom_folder / "NORMAL" / "IM-0001-0000.dcm"
    data = path.read_bytes()
    at = data.index(b"\x28\0\x02\0")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 108) + struct.pack("<HHI", 0x18, 0x15, 100) + b"X" * 100
    long = struct.pack("<HHI", 0x18, 0x12, 0xFFFFFFFF) + item * 900 + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(data[:at] + long + data[at:])
    assert len(long) > dicom.HEAD and {f.path: f.patient for f in load(dicom_folder)} == before


def test_an_id_that_is_the_files_own_name_is_no_patient_where_all_are_so(tmp_path, make_film):
    """As in RSNA's challenge; where a patient has two films, the IDs are patients all the same."""
    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    for i in range(4):
        (tmp_path / "AB"[i % 2] / f"p{i}.dcm").write_bytes(dicom_film(f"p{i}", make_film(i, bool(i % 2))))
    assert {film.patient for film in load(tmp_path)} == {""}
    (tmp_path / "A" / "p1.dcm").write_bytes(dicom_film("p1", make_film(9, True)))
    assert len({film.patient for film in load(tmp_path)}) == 4
    (tmp_path / "A" / "p1.dcm").unlink()
    (tmp_path / "A" / "p0_second.dcm").write_bytes(dicom_film("p0", make_film(9, True)))
    assert len({film.patient for film in load(tmp_path)}) == 4


FOREIGN = {
    "a.heic": b"\0\0\0\x18ftypheic",
    "b.nii.gz": b"\x1f\x8b\x08",
    "c.mha": b"ObjectType = Image",
    "d.avi": b"RIFF\0\0\0\0AVI LIST",
    "e.dcm.gz": b"\x1f\x8b\x08",
    "f.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "g": b"\0\0\0\x18ftypavif",  # by its first bytes alone
    "h.IMG": b"raw",
}


@pytest.mark.parametrize("packed", [False, True])
def test_every_file_that_looks_like_a_picture_is_a_film_or_has_a_row(tmp_path, make_films, packed):
    """Of 8 forms that Pillow writes all are films; 8 that are not read are in the quarantine, also beside the classes,
    where they make no class; what is no picture is left out."""
    root = make_films(tmp_path / "set", 2, 2)
    forms = ["bmp", "webp", "gif", "pgm", "tif", "png", "jfif", "dib"]
    for i, form in enumerate(forms):
        data = io.BytesIO()
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40), np.uint8)).save(
            data, {"jfif": "JPEG", "tif": "TIFF", "pgm": "PPM", "dib": "BMP"}.get(form, form)
        )
        (root / "NORMAL" / f"{form}.{form}").write_bytes(data.getvalue())
    (root / "more").mkdir()
    for i, (name, data) in enumerate(FOREIGN.items()):
        (root / ("NORMAL", "more")[i % 2] / name).write_bytes(data)
    (root / "NORMAL" / "notes.txt").write_text("x")
    place = root
    if packed:
        place = tmp_path / "set.zip"
        with zipfile.ZipFile(place, "w") as z:
            for path in sorted(p for p in root.rglob("*") if p.is_file()):
                z.write(path, path.relative_to(root))
    films = load(place)
    assert films.classes == ("NORMAL", "PNEUMONIA")
    assert {Path(f.path).name for f in films} >= {f"{form}.{form}" for form in forms} and len(films) == 12
    assert all(decode(film.read()).size for film in films)
    assert {Path(path).name for path, _ in films.quarantine} == set(FOREIGN)
    assert all("not read: " in reason for _, reason in films.quarantine)
    assert "1 files that are not films" in films.notes[0] and "notes.txt" in films.notes[0]
    streamed = {Path(name).name for name, _ in stream(place)}
    assert streamed == {Path(f.path).name for f in films} | set(FOREIGN)


def test_a_folder_of_pictures_that_are_not_read_says_so(tmp_path):
    for label in "AB":
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.heic").write_bytes(FOREIGN["a.heic"])
    with pytest.raises(InputError, match=r"2 files can't be read \(first: A/a.heic: HEIC picture, not read"):
        load(tmp_path)
