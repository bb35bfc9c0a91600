"""The recipes of docs/datasets.md run, each on a made-up table of its set's form, and give a table that loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from plainfilm.data.sources import load

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "datasets.md").read_text()
RECIPES = {title: code for title, code in re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", PAGE, re.S | re.M)}

NIH = """Image Index,Finding Labels,Follow-up #,Patient ID
00000001_000.png,Pneumonia|Edema,0,1
00000001_001.png,Edema,1,1
00000002_000.png,No Finding,0,2
00000003_000.png,No Finding,0,3
"""
CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia
CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Male,50,Frontal,AP,,1.0
CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg,Male,50,Lateral,,,1.0
CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Male,50,Frontal,AP,,-1.0
CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male,50,Frontal,AP,,
CheXpert-v1.0-small/train/patient00004/study1/view1_frontal.jpg,Male,50,Frontal,AP,1.0,
"""
VALID = """Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia
CheXpert-v1.0-small/valid/patient00009/study1/view1_frontal.jpg,Male,50,Frontal,AP,0.0,0.0
"""
RSNA = """patientId,class
a,Lung Opacity
a,Lung Opacity
b,No Lung Opacity / Not Normal
c,Normal
"""
PADCHEST = """ImageID,ImageDir,PatientID,Projection,MethodLabel,Labels
1.png,0,p1,PA,Physician,"['pneumonia', 'pleural effusion']"
2.png,0,p1,L,Physician,['pneumonia']
3.png,1,p2,AP,Physician,['normal']
4.png,1,p3,AP,Physician,"['normal', 'unchanged']"
5.png,1,p4,AP,RNN_model,['normal']
6.png,1,p5,PA,Physician,
"""
VINDR = """image_id,rad_id,Pneumonia,No finding
f1,R1,1,0
f1,R2,1,0
f1,R3,0,1
f2,R1,1,0
f2,R2,0,1
f2,R3,0,1
f3,R1,0,1
f3,R2,0,1
f3,R3,0,1
"""
CASES = {
    "NIH ChestX-ray14": (
        {"Data_Entry_2017_v2020.csv": NIH, "test_list.txt": "00000003_000.png\n"}
        | {f"images_001/images/{name}.png": "" for name in re.findall(r"^(\d+_\d+).png", NIH, re.M)},
        [("pneumonia", "1", "train"), ("no finding", "2", "train"), ("no finding", "3", "test")],
        "1 of 4",
    ),
    "CheXpert": (
        {"train.csv": CHEXPERT, "valid.csv": VALID},
        [
            ("pneumonia", "patient00001", "train"),
            ("no pneumonia", "patient00004", "train"),
            ("no pneumonia", "patient00009", "test"),
        ],
        "2 of 5",
    ),
    "RSNA Pneumonia Detection Challenge": (
        {
            "stage_2_detailed_class_info.csv": RSNA,
            "pneumonia-challenge-dataset-mappings_2018.json": json.dumps(
                [{"subset_img_id": "a", "img_id": "00000007_003.png"}]
            ),
        },
        [("opacity", "00000007", ""), ("normal", "", "")],
        "1 of 3",
    ),
    "PadChest": (
        {"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": PADCHEST},
        [("pneumonia", "p1", ""), ("normal", "p2", "")],
        "2 of 4",
    ),
    "VinDr-CXR": (
        {"annotations/image_labels_train.csv": VINDR, "annotations/image_labels_test.csv": VINDR.split("\n")[0]},
        [("pneumonia", "", "train"), ("no finding", "", "train")],
        "1 of 3",
    ),
}


@pytest.mark.parametrize("title", CASES)
def test_a_recipe_gives_labels_patients_parts_and_leaves_the_unknown_out(title, tmp_path, monkeypatch):
    files, wanted, left_out = CASES[title]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    exec(RECIPES[title], {})
    films = load("films.csv")
    assert [(film.label, film.patient, film.part) for film in films] == wanted
    assert films.notes == (f"{left_out} films have no label in films.csv and are left out: unknown is not negative",)


def test_every_recipe_is_tested():
    assert set(RECIPES) == set(CASES)
