from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tests.audit.conftest import film, films, packed, picture

from plainfilm.audit.document import examine
from plainfilm.audit.measure import measure
from plainfilm.audit.telling import learnt_from
from plainfilm.data.demo_films import planted_faults
from plainfilm.data.sources import load
from plainfilm.errors import InputError
from plainfilm.evaluation.decision import Decision
from plainfilm.evaluation.predictions import Predictions
from plainfilm.storage.files import to_json


def audit(films, against=None, **how):
    return examine(measure(films), measure(against) if against else None, **how)


def test_every_planted_fault_of_the_demo_set_is_found_and_nothing_else():
    found, faults = audit(load("demo:100")), planted_faults(100)
    assert [[f["path"] for f in row["films"]] for row in found["duplicates"]] == [faults["duplicate"]]
    assert [row["path"] for row in found["unreadable"]] == faults["unreadable"]
    [patient] = found["patients"]["in_several_classes"]
    assert patient["films"] == faults["patient_in_two_classes"]
    assert (found["odd"], found["red_lines"]) == ([], [])
    assert len(found["notes"]) == 4  # the three, and that the duplicate is under two patients
    assert found["synthetic"]


def test_a_clean_set_has_no_red_line_and_the_same_audit_twice(plain_set):
    found = audit(plain_set())
    assert (found["red_lines"], found["duplicates"], found["odd"]) == ([], [], [])
    assert to_json(found) == to_json(audit(plain_set()))


def test_baselines_of_a_large_set_know_some_of_it(plain_set, monkeypatch):
    """A set of many films does not crowd out a small one, nor one class another; and all of it is said."""
    for module in ("document", "shift"):
        monkeypatch.setattr(f"plainfilm.audit.{module}.learnt_from", lambda *known: learnt_from(*known, each=20))
    other = plain_set(16, 100, save=lambda label, image: packed(image.filter(ImageFilter.GaussianBlur(3))))
    lonely = [film(f"RARE/{i}", packed(picture(900 + i)), "RARE") for i in range(2)]
    found = audit(films([*plain_set(), lonely[0]]), films([*other, lonely[1]]), positive="SICK")
    assert (found["films"]["readable"], found["learnt_from"]) == (61, 40)
    assert any(note.startswith("Baselines and the weak probe know 40 of the 61 films") for note in found["notes"])
    assert "among the 40 films that it knows" in found["doubtful_labels"]["source"]
    assert found["majority"]["value"] == pytest.approx(31 / 61)
    tests = {(test["class"], test["kind"]): test for test in found["shift"]["tests"]}
    assert tests["", "pictures"]["auc"]["low"] > 0.7 and tests["SICK", "pictures"]["auc"]["value"] > 0.7
    assert tests["RARE", "pictures"]["auc"] is None  # one film a set
    assert 36 <= found["shift"]["learnt_from"] < 78
    assert any("learnt from" in note and "at most 5,000 of each" in note for note in found["notes"])


def test_a_shortcut_in_the_files_alone_is_red_and_named(plain_set):
    """All pictures are alike in kind; one class was saved at another quality, as in the Kermany set."""
    found = audit(plain_set(save=lambda label, image: packed(image, quality=95 if label == "NORMAL" else 75)))
    [line] = found["red_lines"]
    assert line.startswith("The files alone predict SICK")
    assert "JPEG quality" in line
    metadata = found["baselines"][0]
    assert metadata["properties"][0]["auc"]["value"] > 0.99


def test_a_mark_in_the_borders_is_red(plain_set):
    def marked(label: str, image: Image.Image) -> bytes:
        if label == "SICK":
            image.paste(250, (2, 2, 12, 10))
        return packed(image, quality=90)

    assert any(
        line.startswith("The borders of the films alone predict SICK")
        for line in audit(plain_set(save=marked))["red_lines"]
    )


def test_what_crosses_parts_and_what_has_two_labels_is_red():
    data = [packed(picture(i)) for i in range(8)]
    parts = ["train"] * 4 + ["test"] * 4
    items = [
        film(f"{('A', 'B')[i % 2]}/{i}", d, patient=f"p{i % 7}", part=p)
        for i, (d, p) in enumerate(zip(data, parts, strict=True))
    ]
    items.append(film("B/copy", data[0], patient="q", part="test"))
    found = audit(films(items))
    assert found["red_lines"] == [
        "1 patient with films in more than one part: a model can know the patient again.",
        "1 picture in more than one part: seen in training, and scored.",
        "1 picture there twice under different labels (duplicates.csv).",
    ]


def test_leaky_folds_score_higher_where_films_of_a_patient_are_alike():
    rng = np.random.default_rng(0)
    items = []
    for patient in range(24):
        base = np.asarray(picture(patient)).astype(float)
        for number in range(3):
            pixels = (base + rng.normal(0, 40, base.shape)).clip(0, 255).astype(np.uint8)
            label = ("A", "B")[patient % 2]
            items.append(film(f"{label}/{patient}-{number}", packed(Image.fromarray(pixels)), patient=str(patient)))
    leak = audit(films(items))["leak"]
    assert leak["difference"]["low"] > 0.1
    assert leak["by_film"]["value"] - leak["by_patient"]["value"] == pytest.approx(leak["difference"]["value"])


def test_labels_doubted_by_given_predictions(plain_set):
    items = plain_set(12)
    sure = np.array([[0.9, 0.1] if f.label == "NORMAL" else [0.2, 0.8] for f in items])
    sure[3] = sure[3][::-1]
    paths = [f.path for f in items]
    given = Predictions(
        paths, np.full(12, "test"), items.labels, sure, Decision(("NORMAL", "SICK"), "SICK"), np.array(paths)
    )
    found = audit(items, predictions=given)["doubtful_labels"]
    assert found["source"] == "the predictions given"
    assert [row["path"] for row in found["films"]] == [paths[3]]
    with pytest.raises(InputError, match="don't know any of its films"):
        audit(items, predictions=replace(given, paths=[f"x{p}" for p in paths]))


def test_too_few_films_are_said_and_no_patient_is_said():
    items = [film(f"{label}/{label}", packed(picture(i))) for i, label in enumerate("AB")]
    found = audit(films(items))
    assert (found["baselines"], found["leak"], found["red_lines"]) == ([], None, [])
    assert "Too few films or patients of a class for baselines." in found["notes"]
    assert any("No film names its patient" in note for note in found["notes"])


# --- another set ------------------------------------------------------------------------------------------------------


def blurred(label: str, image: Image.Image) -> bytes:
    return packed(image.filter(ImageFilter.GaussianBlur(1.5)) if label == "NORMAL" else image)


def exposed(label: str, image: Image.Image) -> bytes:
    return packed(image.point([min(255, int(v * 1.4)) for v in range(256)]) if label == "SICK" else image)


@pytest.mark.parametrize(
    ("change", "start", "named"),
    [
        (blurred, 0, ("NORMAL", "sharpness")),  # the same films, changed
        (blurred, 500, ("NORMAL", "sharpness")),  # other films
        (exposed, 500, ("SICK", "mean grey")),
    ],
)
def test_the_class_that_moved_is_named_with_what_moved_it(plain_set, change, start, named):
    found = audit(plain_set(80), plain_set(80, start, change))
    label, name = named
    [line] = found["red_lines"]
    assert f"its {label} films differ from those of {found['data']} (" in line
    pictures = next(t for t in found["shift"]["tests"] if (t["class"], t["kind"]) == (label, "pictures"))
    assert name in [each["name"] for each in pictures["properties"][:3]]
    assert {row["label"] for row in found["shift"]["most_unlike"][:10]} == {label}


@pytest.mark.parametrize("start", [0, 500])  # the very same films, and others of the same kind
def test_a_set_of_the_same_kind_raises_nothing(plain_set, start):
    found = audit(plain_set(80), plain_set(80, start))
    assert found["red_lines"] == []
    assert found["shift"]["shared"] == (
        {"pictures": 80, "patients": 80} if start == 0 else {"pictures": 0, "patients": 0}
    )


def test_another_mix_of_classes_is_no_shift_with_labels_and_without(plain_set):
    ours = plain_set(80, save=lambda label, image: packed(image if label == "SICK" else image.point(lambda v: v // 2)))
    sick = [f for f in plain_set(80, 500) if f.label == "SICK"]
    assert not [line for line in audit(ours, films(sick))["red_lines"] if "need not hold" in line]
    unlabelled = films([replace(f, label="") for f in sick])
    found = audit(ours, unlabelled)
    tests = {(test["class"], test["kind"]): test for test in found["shift"]["tests"]}
    assert {name for name, _ in tests} == {"", "NORMAL", "SICK"} and tests["", "pictures"]["red"]
    assert not [
        line for line in found["red_lines"] if "need not hold" in line
    ]  # within predicted classes all are alike


def test_one_film_on_the_other_side_is_too_few(plain_set):
    found = audit(plain_set(20), films([film("SICK/one", packed(picture(900)))]))
    assert "Too few films or patients to compare the sets." in found["notes"]


def test_a_shortcut_of_any_class_is_red_where_there_are_several(plain_set):
    """The class whose files differ is not the one that counts as positive."""
    quality = {"A_NORMAL": 60, "COVID": 95, "ZVIRUS": 60}
    items = [
        film(f"{name}/{i}", packed(picture(100 * k + i), quality=q), patient=f"p{k}-{i}")
        for k, (name, q) in enumerate(quality.items())
        for i in range(24)
    ]
    found = audit(films(items))
    assert found["positive"] == "ZVIRUS" and not any(
        row["red"] for row in found["baselines"] if row["name"] == "borders"
    )
    assert {row["class"] for row in found["by_class"]} == {"A_NORMAL", "COVID"}
    assert [line for line in found["red_lines"] if line.startswith("The files alone predict COVID")]
    assert audit(plain_set())["by_class"] == []


def test_films_that_trained_a_model_are_not_asked_about_their_labels(plain_set):
    measured = plain_set()
    paths = [film.path for film in measured]
    parts = np.array(["train", "test"] * 30)
    labels = np.array([film.label == "SICK" for film in measured], np.int64)
    against = np.eye(2)[1 - labels] * 0.9 + 0.05  # every label is doubted
    table = Predictions(paths, parts, labels, against, Decision(("NORMAL", "SICK"), "SICK"), np.array(paths))
    found = audit(measured, predictions=table)["doubtful_labels"]
    assert len(found["films"]) == 30 and "without 30 films that trained" in found["source"]
    assert {row["path"] for row in found["films"]} == {
        path for path, part in zip(paths, parts, strict=True) if part == "test"
    }


def brighter(label: str, image: Image.Image) -> Image.Image:
    """Sick films are brighter on one side, so that a weak probe can tell them."""
    return Image.composite(image.point(lambda grey: min(255, grey + 90)), image, SIDE) if label == "SICK" else image


SIDE = Image.new("L", (120, 96))
SIDE.paste(255, (0, 0, 60, 96))


def test_without_labels_the_other_set_is_looked_at_by_predicted_class(plain_set):
    def look(save, mix: int) -> dict:
        other = [film for film in plain_set(120, 500, save=save)]
        kept = [f for i, f in enumerate(other) if f.label == "SICK" or i % mix == 0]
        unknown = films(replace(f, label="") for f in kept)
        return audit(plain_set(120, save=lambda label, image: packed(brighter(label, image))), unknown)

    alike = look(lambda label, image: packed(brighter(label, image)), 8)
    tests = {(t["class"], t["kind"]): t for t in alike["shift"]["tests"]}
    assert {c for c, _ in tests} == {"", "NORMAL", "SICK"} and tests["SICK", "pictures"]["predicted"]
    assert tests["", "pictures"]["auc"]["value"] > 0.6  # another mix of classes
    assert not [line for line in alike["red_lines"] if "need not hold" in line]
    soft = look(lambda label, image: packed(brighter(label, image).filter(ImageFilter.GaussianBlur(3))), 1)
    assert [line for line in soft["red_lines"] if "its films predicted to be" in line]
    assert to_json(look(lambda label, image: packed(image), 2)) == to_json(look(lambda label, image: packed(image), 2))
