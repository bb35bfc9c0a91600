"""DataFrames in and out, scikit-learn's habits, and what a notebook shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import plainfilm as pf
from plainfilm.api import Metrics
from plainfilm.data.sources import load
from plainfilm.errors import InputError

pandas = pytest.importorskip("pandas")


@pytest.fixture
def frame(films_folder):
    rows = [
        {
            "path": str(path),
            "label": path.parent.name,
            "patient": k // 2 if k else None,
            "age": 20.0 + k,
            "site": ["Lyon", None][k % 2],
        }
        for k, path in enumerate(sorted(films_folder.rglob("*.jpeg")))
    ]
    return pandas.DataFrame(rows)


def test_a_frame_is_read_like_a_table_and_comes_back(frame):
    films = pf.load(frame)
    assert films.classes == ("NORMAL", "PNEUMONIA") and len(films) == len(frame)
    assert films[0].columns == {"age": "20", "site": "Lyon"} and films[1].columns["site"] == ""
    assert films[2].patient == "1"
    back = films.to_pandas()
    assert list(back.columns) == ["path", "label", "patient", "part", "age", "site"]
    assert back["path"].tolist() == frame["path"].tolist()
    again = pf.load(back)
    assert again.films == films.films


def test_a_frame_of_findings(frame):
    frame = frame.drop(columns="label").assign(Edema=[1, 0, None, -1] * 10, Hernia=[0, 0, 1, 0] * 10)
    films = pf.load(frame, findings="all")
    back = films.to_pandas()
    assert films.findings == ("Edema", "Hernia") and "label" not in back
    assert back["Edema"].tolist()[:2] == [1, 0] and np.isnan(back["Edema"][2]) and back["Edema"][3] == -1
    with pytest.raises(InputError, match="lacks the column label"):
        pf.load(frame)
    with pytest.raises(InputError, match="the column path twice"):
        pf.load(pandas.concat([frame, frame[["path"]]], axis=1))


@pytest.fixture(scope="module")
def model():
    import torch

    from plainfilm.evaluation.decision import Decision
    from plainfilm.image.preprocess import Preprocess
    from plainfilm.models.model import Model

    class Brightness(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = x.amax(dim=(1, 2, 3)) - 2
            return torch.stack([-self.scale * bright, self.scale * bright], 1)

    return Model(Brightness(), "vgg", Decision.of(("NORMAL", "PNEUMONIA")), Preprocess(size=32))


def test_a_model_takes_our_own_films_in_every_form(model, films_folder):
    films = load(films_folder)
    paths = [str(films_folder / film.path) for film in films]
    expected = model.predict_proba(paths)
    assert expected.shape == (len(films), 2)
    for given in (films, films.films, list(films), [film.read() for film in films]):
        assert np.array_equal(model.predict_proba(given), expected)
    assert np.array_equal(model.predict_proba(films[0]), expected[:1])


def test_scikit_learn_takes_the_model_for_a_trained_classifier(model, films_folder):
    from sklearn.base import clone, is_classifier
    from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
    from sklearn.model_selection import cross_val_predict, cross_val_score
    from sklearn.utils.validation import check_is_fitted

    films = load(films_folder)
    paths, labels = [str(films_folder / film.path) for film in films], [film.label for film in films]
    check_is_fitted(model)
    assert is_classifier(model) and clone(model) is model and model.fit(paths, labels) is model
    assert np.array_equal(
        cross_val_predict(model, paths, labels, cv=2, method="predict_proba"), model.predict_proba(paths)
    )
    assert np.mean(cross_val_score(model, paths, labels, cv=4)) == pytest.approx(model.score(paths, labels))
    display = RocCurveDisplay.from_estimator(model, paths, labels, pos_label="PNEUMONIA")
    assert 0 <= display.roc_auc <= 1
    assert ConfusionMatrixDisplay.from_estimator(model, paths, labels).confusion_matrix.sum() == len(films)


def test_what_a_notebook_shows(model, films_folder, tmp_path):
    films = load(films_folder)
    shown = films._repr_html_()
    assert "40 films (NORMAL 16, PNEUMONIA 24)" in shown and shown.count("<tr>") == 6
    assert "PNEUMONIA from 0.500 on" in model._repr_html_()
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("path,label,note\na.png,<b>bold</b>,<script>\nb.png,other,\n")
    assert "<script>" not in load(tmp_path / "t.csv")._repr_html_()


def test_metrics_are_a_table():
    found = {"value": 0.9, "low": 0.8, "high": None}
    metrics = Metrics({"protocol": "patients separate", "test": {"auroc": found}, "test_openings": 1})
    assert metrics.to_pandas().to_dict("records")[0] | {"high": None} == {"part": "test", "score": "auroc", **found}
    assert "0.900" in metrics._repr_html_() and "patients separate" in metrics._repr_html_()


def test_tab_completion_shows_what_is_meant_for_users():
    assert {"Model", "evaluate", "load", "split", "train"} <= set(dir(pf))
    assert not {"Any", "Path", "TYPE_CHECKING", "annotations"} & set(dir(pf))
