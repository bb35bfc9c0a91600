"""The demo set: its counts, its planted faults and only those, its pictures, and no way to cheat on it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plainfilm.data import demo_anatomy as anatomy
from plainfilm.data import demo_films as phantom
from plainfilm.data import demo_plate, demo_signs
from plainfilm.data.demo_films import PhantomFilm, draw, phantom_set, planted_faults
from plainfilm.data.demo_plate import Body, Plate, Pose
from plainfilm.data.demo_pneumonia import opacity
from plainfilm.data.sources import load
from plainfilm.errors import InputError


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), float)


@pytest.fixture(scope="module")
def drawn() -> dict[PhantomFilm, bytes]:
    return {film: draw(film) for film in phantom_set(150, seed=3)}


@pytest.fixture(scope="module")
def sound(drawn: dict[PhantomFilm, bytes]) -> dict[PhantomFilm, bytes]:
    return {film: data for film, data in drawn.items() if not film.cut}


def plate_of(film: PhantomFilm) -> Plate:
    body = demo_plate.drawn(Body, phantom._rng(film, 0, "body"))
    return Plate(body, demo_plate.drawn(Pose, phantom._rng(film, film.number, "pose")))


def taken(film: PhantomFilm, plate: Plate) -> np.ndarray:
    """Return the share of air that pneumonia has taken."""
    return opacity(plate, film.number, phantom._rng(film, 0, "pneumonia"))


# ------------------------------------------------------------------------------------------------------------ the set


@pytest.mark.parametrize("count", [4, 5, 7, 60, 100, 121, 1000])
def test_a_set_has_the_films_that_were_asked_for(count: int) -> None:
    films = phantom_set(count)
    paths = [film.path for film in films]
    assert len(set(paths)) == count and paths == sorted(paths)
    assert Counter(film.label for film in films)["NORMAL"] == round(0.4 * count)
    assert all(film.path == f"{film.label}/{film.patient}-{film.path[-6]}.jpeg" for film in films)


@pytest.mark.parametrize("count", [4, 60, 400])
def test_patients_have_one_to_four_films_and_each_class_has_two_patients(count: int) -> None:
    films = phantom_set(count, seed=1)
    sizes = Counter(film.patient for film in films)
    assert set(sizes.values()) <= {1, 2, 3, 4}
    assert all(len({f.patient for f in films if f.label == label}) >= 2 for label in ("NORMAL", "PNEUMONIA"))


@pytest.mark.parametrize("count", [3, 0, -5])
def test_too_few_films_are_refused(count: int) -> None:
    with pytest.raises(InputError, match="4 or more"):
        phantom_set(count)


def test_the_seed_alone_makes_the_set() -> None:
    assert phantom_set(60, 5) == phantom_set(60, 5)
    assert [f.path for f in phantom_set(60, 5)] != [f.path for f in phantom_set(60, 6)]


# --------------------------------------------------------------------------------------------------------- the faults


def test_the_planted_faults_are_there_and_no_others() -> None:
    films = {film.path: draw(film) for film in phantom_set(120)}
    faults = planted_faults(120)
    copies, labels = defaultdict(list), defaultdict(set)
    for path, data in films.items():
        copies[hashlib.sha256(data).hexdigest()].append(path)
        labels[path.split("/")[1].rsplit("-", 1)[0]].add(path.split("/")[0])
    assert [sorted(paths) for paths in copies.values() if len(paths) > 1] == [faults["duplicate"]]
    assert [path for path, data in films.items() if not readable(data)] == faults["unreadable"]
    both = {patient for patient, of in labels.items() if len(of) > 1}
    assert {path.split("/")[1].rsplit("-", 1)[0] for path in faults["patient_in_two_classes"]} == both and len(
        both
    ) == 1


def readable(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_every_seed_plants_each_fault_once(seed: int) -> None:
    faults = planted_faults(100, seed)
    first, second = faults["duplicate"]
    normal, later = faults["patient_in_two_classes"]
    assert first.split("/")[0] == second.split("/")[0]
    assert first.rsplit("-", 1)[0] != second.rsplit("-", 1)[0]
    assert (normal.split("/")[0], later.split("/")[0]) == ("NORMAL", "PNEUMONIA") and normal < later
    assert len(faults["unreadable"]) == 1
    assert len({path for paths in faults.values() for path in paths}) == 5


def test_small_sets_have_no_faults() -> None:
    assert planted_faults(99) == {"duplicate": [], "unreadable": [], "patient_in_two_classes": []}


# ------------------------------------------------------------------------------------------------------- the pictures


def test_a_film_is_the_same_whenever_it_is_drawn() -> None:
    films = phantom_set(8, seed=2)
    forwards = [draw(film) for film in films]
    backwards = [draw(film) for film in reversed(films)]
    assert forwards == backwards[::-1]
    assert draw(phantom_set(8, seed=4)[0]) != forwards[0]


def test_films_are_grey_jpegs_of_varying_size(sound: dict[PhantomFilm, bytes]) -> None:
    images = [Image.open(io.BytesIO(data)) for data in sound.values()]
    assert {(image.format, image.mode) for image in images} == {("JPEG", "L")}
    assert all(300 <= image.height <= 420 and 1 <= image.width / image.height < 1.46 for image in images)
    assert len({image.size for image in images}) > 50


def test_every_film_says_that_it_is_synthetic(sound: dict[PhantomFilm, bytes]) -> None:
    for film, data in sound.items():
        image = Image.open(io.BytesIO(data))
        marks = Image.new("L", image.size)
        phantom._mark(marks, phantom._rng(film, 0, "marks"))
        word = np.asarray(marks)[-image.height // 10 :]
        burnt = np.asarray(image, float)[-image.height // 10 :]
        assert np.count_nonzero(word > 200) > 60
        assert burnt[word > 200].mean() > 190 and burnt[word == 20].mean() < 90
        assert b"synthetic" in image.info["comment"]


def test_the_marks_do_not_look_at_the_label() -> None:
    film = phantom_set(20)[0]
    other = replace(film, label="PNEUMONIA", path=film.path.replace("NORMAL", "PNEUMONIA"))
    marked = []
    for one in (film, other):
        image = Image.new("L", (400, 300))
        phantom._mark(image, phantom._rng(one, 0, "marks"))
        marked.append(image.tobytes())
    assert marked[0] == marked[1]


def test_lungs_are_darker_than_mediastinum_and_air_is_black(sound: dict[PhantomFilm, bytes]) -> None:
    for film, data in list(sound.items())[:40]:  # the first are the normal ones
        plate, grey = plate_of(film), pixels(data)
        lungs = plate.turned(anatomy.air(plate, anatomy.above_diaphragm(plate)))
        heart = plate.turned(anatomy._mediastinum(plate))
        assert film.label == "NORMAL"
        assert grey[lungs > 0.6].mean() + 30 < grey[heart > 0.9].mean()
        assert grey.min() < 25 and np.percentile(grey, 99.5) > 140


def test_pneumonia_whitens_the_lung_it_is_in_and_little_else() -> None:
    changes = []
    for film in [f for f in phantom_set(60, seed=1) if f.label == "PNEUMONIA"][:20]:
        plate = plate_of(film)
        air = anatomy.air(plate, anatomy.above_diaphragm(plate))
        lost = plate.turned((air * taken(film, plate)).astype(np.float32))
        change = pixels(draw(film)) - pixels(draw(replace(film, label="NORMAL")))
        outside = plate.turned(air) < 0.01
        assert abs(change[outside].mean()) < 0.5
        changes.append((lost.max(), change[lost > 0.6 * lost.max()].mean()))
    clear = [change for lost, change in changes if lost > 0.25]
    assert len(clear) >= 12 and min(clear) > 10 and np.mean(clear) > 35


def test_some_pneumonia_is_too_subtle_for_anyone() -> None:
    strength = []
    for film in [f for f in phantom_set(300, seed=2) if f.label == "PNEUMONIA"]:
        strength.append(taken(film, plate_of(film)).max())
    assert 0.01 < np.mean(np.array(strength) < 0.08) < 0.12


def test_films_of_a_patient_are_alike_but_not_equal() -> None:
    films = [f for f in phantom_set(60) if not f.cut]
    one = next(f for f in films if f.number == 2)
    first, second = (pixels(draw(replace(one, number=number))) for number in (1, 2))
    other = pixels(draw(replace(one, body=one.body + 1000)))
    shape = (other.shape[1], other.shape[0])
    same_size = np.asarray(Image.fromarray(second).resize(shape), float)
    blurred = [gaussian_filter(image, 6) for image in (first, second)]
    assert first.shape == second.shape and not np.array_equal(first, second)
    assert np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1] > 0.9
    assert same_size.shape == other.shape and not np.array_equal(same_size, other)


# ------------------------------------------------------------------------------------------------- no way to cheat


def auc(films: list[PhantomFilm], features: list[np.ndarray]) -> float:
    """AUC of a cross-validated logistic regression, patients kept apart."""
    labels, patients = [film.label == "PNEUMONIA" for film in films], [film.patient for film in films]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, np.array(features), labels, groups=patients, cv=folds, method="predict_proba")
    return float(roc_auc_score(labels, scores[:, 1]))


def thumbnail(data: bytes, side: int) -> np.ndarray:
    small = Image.open(io.BytesIO(data)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, float)


def test_file_grey_and_borders_do_not_give_the_class_away(sound: dict[PhantomFilm, bytes]) -> None:
    films, datas = list(sound), list(sound.values())
    border = np.ones((40, 40), bool)
    border[4:-4, 4:-4] = False
    sizes = [Image.open(io.BytesIO(data)).size for data in datas]
    files = [np.array([w, h, w / h, len(d) / (w * h)]) for (w, h), d in zip(sizes, datas, strict=True)]
    grey = [np.array([pixels(data).mean(), pixels(data).std()]) for data in datas]
    assert auc(films, [thumbnail(data, 40)[border] for data in datas]) < 0.65
    assert auc(films, files) < 0.65
    assert auc(films, grey) < 0.65


def test_the_lungs_do_give_it_away_but_not_easily(sound: dict[PhantomFilm, bytes]) -> None:
    small = [thumbnail(data, 32) for data in sound.values()]
    score = auc(list(sound), [((image - image.mean()) / image.std()).ravel() for image in small])
    assert 0.62 < score < 0.95


# -- several findings per film ----------------------------------------------------------------------------------------


def test_a_set_of_findings_has_its_shares_and_hides_cells_at_random():
    films = phantom.phantom_findings(3000, seed=1)
    assert len(films) == 3000 and len({film.path for film in films}) == 3000
    of_patient = {film.patient: film.signs for film in films}
    assert all(film.signs == of_patient[film.patient] for film in films)
    truth = np.array([[name in film.signs for name in demo_signs.SHARES] for film in films])
    cells = np.array([list(film.cells.values()) for film in films])
    for k, share in enumerate(demo_signs.SHARES.values()):
        assert truth[:, k].mean() == pytest.approx(share, abs=0.1)
        known = cells[:, k] >= 0
        assert known.mean() == pytest.approx(1 - demo_signs.HIDDEN, abs=0.03)
        assert (cells[known, k] == truth[known, k]).all()
        assert truth[known, k].mean() == pytest.approx(truth[:, k].mean(), abs=0.03)
    assert phantom.phantom_findings(40, seed=1) == phantom.phantom_findings(40, seed=1)


@pytest.mark.parametrize("sign", list(demo_signs.SHARES))
def test_each_sign_changes_its_film_and_nothing_else_does(sign):
    plain = PhantomFilm("a.jpeg", "", "synthetic-p0001", 0, 1, 1)
    with_it = replace(plain, signs=(sign,))
    a, b = pixels(draw(plain)), pixels(draw(with_it))
    assert a.shape == b.shape and np.abs(a - b).max() > 40 and draw(with_it) == draw(with_it)
    assert np.abs(a - b).mean() < 25  # the body is the same


def test_findings_of_the_demo_set_are_loaded_as_such():
    films = load("demo:30:findings", findings="all")
    assert films.findings == tuple(demo_signs.SHARES) and films.synthetic and len(films) == 30
    phantoms = {film.path: film for film in phantom.phantom_findings(30)}
    for film in films:
        assert dict(film.findings) == phantoms[film.path].cells and film.read() == draw(phantoms[film.path])
    with pytest.raises(InputError, match="--findings all"):
        load("demo:30:findings")
    for wrong in ("demo:x", "demo:30:classes", "demo:-4"):
        with pytest.raises(InputError, match="is not of the form demo:N"):
            load(wrong)
