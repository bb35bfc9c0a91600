"""Folders that are persons, dates, studies, portions or parts are asked about; folders of classes are not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from plainfilm.data.not_classes import ask_about_many, ask_about_names
from plainfilm.data.sources import load
from plainfilm.errors import InputError


def folders(root: Path, names: list[str], make_film, films: int = 2) -> Path:
    """A folder of folders ``names`` with ``films`` films each, as another program would leave it."""
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for film in range(films):
            (root / name / f"film{number}_{film}.jpeg").write_bytes(make_film(100 * number + film, bool(number % 2)))
    return root


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"patient{i:05d}" for i in range(32)], "32 of its 32 class folders are called patient00000, .* patients"),
        (["p10", "p11", "p12"], "patients"),
        (["P-0001", "P-0002"], "patients"),
        (["sub-01", "sub-02"], "patients"),
        (["images_001", "images_002"], "portions of a set"),
        (["20240101", "20240102"], "dates"),
        (["2024-01", "2024-02"], "dates"),
        (["2019", "2020"], "dates"),
        (["01.02.2024", "02.02.2024"], "dates"),
        (["s50414267", "s50414268"], "studies"),
        (["study1", "study2"], "studies"),
        (["1.2.840.113619.2.1", "1.2.840.113619.2.2"], "identifiers"),
        (["02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "NORMAL"], None),  # no UUID: a name as any
        (["1108", "1109"], "patients, studies or dates"),
        (["10", "11", "12", "13"], "patients, studies or dates"),
        (["adapt100", "test300"], "parts or portions of a set"),
        (["fold1", "fold2"], "parts or portions"),
        (
            ["NORMAL", "PNEUMONIA", "unsorted"],
            "a class folder is called unsorted, .* like films without a class",
        ),
        (["NORMAL", "PNEUMONIA", "New Folder (2)"], "films without a class"),
        (["NORMAL", "images"], "places of films"),
        (["NORMAL", "PNEUMONIA", "20240101"], "dates"),
    ],
)
def test_folders_that_are_no_classes_are_asked_about(tmp_path, make_film, names, said):
    root = folders(tmp_path / "set", names, make_film)
    if said is None:
        assert load(root).classes == tuple(sorted(names))
        return
    with pytest.raises(InputError, match=said) as asked:
        load(root)
    assert str(asked.value).count("\n") == 0 and str(root) in str(asked.value)


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1"],
        ["0", "2"],
        ["1", "2", "3", "4"],
        [str(i) for i in range(11)],
        ["grade 0", "grade 1"],
        ["COVID-19", "Viral Pneumonia", "Normal"],
        ["covid19", "sars2003"],
        ["normal", "abnormal"],
        ["T1", "T2"],
        ["stage1", "stage2"],
        ["no finding", "other"],
        ["negative", "positive"],
        ["none", "NA"],  # folders are names, not cells
        ["BA", "VI"],
    ],
)
def test_folders_that_may_be_classes_are_taken(tmp_path, make_film, names):
    assert load(folders(tmp_path / "set", names, make_film, 5)).classes == tuple(sorted(names))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("train", "validate", "test"), {"train", "val", "test"}),  # MIMIC's word
        (("Train", "VALID", "Holdout"), {"train", "val", "test"}),
        (("training", "dev", "internal_test"), {"train", "val", "test"}),
        (("train_set", "validation set", "test-set"), {"train", "val", "test"}),
    ],
)
def test_words_for_parts_in_folders(tmp_path, make_film, words, parts):
    root = folders(tmp_path / "set", [f"{word}/{label}" for word in words for label in "AB"], make_film)
    films = load(root)
    assert {film.part for film in films} == parts and films.classes == ("A", "B")


@pytest.mark.parametrize("stranger", ["unsorted", "more", "external", "eval"])
def test_a_folder_beside_parts_that_is_none_is_asked_about(tmp_path, make_film, stranger):
    names = [f"{part}/{label}" for part in ("train", "test") for label in "AB"]
    root = folders(tmp_path / "set", [*names, f"{stranger}/A"], make_film)
    with pytest.raises(InputError, match=f"test and train films and, beside them, {stranger}, which is none of"):
        load(root)


def test_many_labels_with_few_films_are_asked_about(tmp_path, make_film):
    folders(tmp_path / "films", ["a"], make_film, 30)
    names = sorted(path.name for path in (tmp_path / "films" / "a").iterdir())
    for label, said in (("Smith {}", "patients, studies or remarks"), ("Effusion|{}", "several findings per film")):
        rows = "".join(f"films/a/{name},{label.format(i // 3)}\n" for i, name in enumerate(names))
        (tmp_path / "t.csv").write_text(f"path,label\n{rows}")
        with pytest.raises(InputError, match=rf"has 10 classes, half of them with 4 films or fewer .*{said}"):
            load(tmp_path / "t.csv")
    ask_about_many("x", {str(i): 5 for i in range(40)})
    ask_about_many("x", {str(i): 1 for i in range(9)})


def test_a_name_alone_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="give one of them, or name them train, val and test"):
        ask_about_names(tmp_path, {"train1": 3, "train2": 4})
    ask_about_names(tmp_path, {"A": 1, "B": 1})


@pytest.mark.parametrize("inside", ["", "chest\\"])
def test_a_zip_of_windows_is_read_as_one_with_slashes(tmp_path, make_films, inside):
    """Written as PowerShell 5 does: zipfile on this machine writes the names as they are given."""
    root = make_films(tmp_path / "set", 4, 4)
    for name, slash in (("lin.zip", "/"), ("win.zip", "\\")):
        with zipfile.ZipFile(tmp_path / name, "w") as z:
            for path in sorted(root.rglob("*.jpeg")):
                z.write(path, (inside + str(path.relative_to(root))).replace("\\", slash).replace("/", slash))
            if slash == "\\":
                z.writestr(f"{inside}NORMAL\\", b"")  # its folders too
    lin, win = load(tmp_path / "lin.zip"), load(tmp_path / "win.zip")
    assert [f.path for f in win] == [f.path for f in lin] and win.counts == {"NORMAL": 4, "PNEUMONIA": 4}
    assert [f.read() for f in win] == [f.read() for f in lin]


def test_files_that_hold_backslashes_in_their_names_lie_in_those_folders(tmp_path, make_film):
    """What unzipping such a zip leaves on Linux."""
    for i, name in enumerate(("chest\\NORMAL\\a.jpeg", "chest\\PNEUMONIA\\b.jpeg")):
        (tmp_path / name).write_bytes(make_film(i, bool(i)))
    films = load(tmp_path)
    assert films.counts == {"NORMAL": 1, "PNEUMONIA": 1} and all(film.read() for film in films)


def test_paths_of_windows_in_tables(tmp_path, make_films, make_film):
    make_films(tmp_path / "set", 2, 2)
    (tmp_path / "set" / "odd\\name.jpeg").write_bytes(make_film(7, True))
    names = sorted(p.relative_to(tmp_path).as_posix() for p in (tmp_path / "set").rglob("*.jpeg"))
    written = [name.replace("/", "\\") if "odd" not in name else name for name in names]
    for form in ("{}", ".\\{}", "{} "):
        spelt = [name if "odd" in name else form.format(name) for name in written]
        rows = "".join(f"{name},{'AB'[i % 2]}\n" for i, name in enumerate(spelt))
        (tmp_path / "t.csv").write_text(f"path,label\n{rows}")
        films = load(tmp_path / "t.csv")
        assert len(films) == 5 and all(film.read() for film in films)


def test_a_drive_of_windows_is_named(tmp_path, make_films):
    make_films(tmp_path, 2, 2)
    (tmp_path / "t.csv").write_text("path,label\nC:\\films\\a.jpeg,A\nNORMAL/IM-0000-0000.jpeg,B\n")
    with pytest.raises(InputError, match=r"row 2 has C:\\films\\a.jpeg, a path on a Windows drive: .* relative to the"):
        load(tmp_path / "t.csv")
