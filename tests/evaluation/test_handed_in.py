"""Tables as users of other programs write them; each holds the same twelve films."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit

from plainfilm.errors import InputError
from plainfilm.evaluation import handed_in
from plainfilm.evaluation.arrays import from_arrays
from plainfilm.evaluation.handed_in import Told
from plainfilm.evaluation.predictions import read_table_of
from plainfilm.evaluation.scales import Scale, as_probabilities

TRUTH = np.array([0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0])
CHANCE = np.round(np.where(TRUTH == 1, np.linspace(0.4, 0.95, 12), np.linspace(0.05, 0.6, 12)), 3)
COMMA = [f"{p:.3f}".replace(".", ",") for p in CHANCE]


def table(header, rows, sep=",", end="\n"):
    return end.join([header, *(sep.join(map(str, row)) for row in rows)]) + end


def films(n=12):
    return [f"img_{i:03d}.png" for i in range(n)]


NAMED = np.where(TRUTH, "PNEUMONIA", "NORMAL")
LESS = [f"{1 - p:.3f}" for p in CHANCE]


def rows(*columns):
    return list(zip(*columns, strict=True))


SHAPES = {
    "pandas with its index": table(",filename,y_true,y_prob", rows(range(12), films(), TRUTH, CHANCE)),
    "R's write.csv2": table('"";"image";"truth";"prob"', rows(range(12), films(), TRUTH, COMMA), ";"),
    "German Excel": "sep=;\r\n" + table("Image;Target;Score", rows(films(), TRUTH, COMMA), ";", "\r\n"),
    "Keras, a column per class": table("Path,Label,prob_NORMAL,prob_PNEUMONIA", rows(films(), NAMED, LESS, CHANCE)),
    "scikit-learn's predict_proba": table("id,y_true,proba_0,proba_1", rows(films(), TRUTH, LESS, CHANCE)),
    "torchxrayvision's patients": table(
        "patientid,imgid,target,pred", rows(np.arange(12) // 2, films(), TRUTH.astype(float), CHANCE)
    ),
    "logits": table("image_id,label,logit", rows(films(), TRUTH, logit(CHANCE).round(6))),
    "per cent": table("file,class,confidence", rows(films(), np.where(TRUTH, "yes", "no"), CHANCE * 100)),
    "tabs": table(
        "SOPInstanceUID\tdiagnosis\tprobability", rows(films(), np.where(TRUTH, "sick", "healthy"), CHANCE), "\t"
    ),
    "a finding's two columns": table("dicom_id,subject_id,Edema,score_edema", rows(films(), range(12), TRUTH, CHANCE)),
    "truth and guess of a finding": table("study,gt_Edema,Edema_pred", rows(range(12), TRUTH, CHANCE)),
    "no names of films": table("truth,p", rows(TRUTH.astype(bool), CHANCE)),
    "validation named": table("path,label,score,split", rows(films(), TRUTH, CHANCE, ["Validation"] * 12)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_ways_to_write_the_same_predictions(tmp_path, shape):
    path = tmp_path / ("theirs.tsv" if shape == "tabs" else "theirs.csv")
    path.write_text(SHAPES[shape], encoding="utf-8")
    found = read_table_of(path)
    assert np.array_equal(found.predictions.truth, TRUTH == 1), shape
    assert found.predictions.score == pytest.approx(CHANCE, abs=1e-3)
    assert len(set(found.predictions.patients.tolist())) == (6 if "patients" in shape else 12)
    assert set(found.predictions.parts.tolist()) == {"val" if shape == "validation named" else "test"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "path,label,target,score\na,0,1,.3\nb,1,0,.4\n",
            "label or target may be the label; say which: --columns label=",
        ),
        ("path,label,prob,score\na,0,1,.3\nb,1,0,.4\n", "prob or score may be the score"),
        ("path,score\na,.3\nb,.4\n", "no column is known to hold the truth .* --columns label=NAME"),
        ("path,label,Pneumonia\na,0,.3\nb,1,.4\n", "--columns score=NAME"),
        ("path,label,score\na,0,.3\nb,0,.4\n", "holds only '0'"),
        ("path,label,score\na,0,x\nb,1,.4\n", r"1 rows have no number in score \(first: row 2\)"),
        ("path,label,score\na,0,.1\na,1,.4\n", "a stands 2 times in path"),
        ("path,label,score\n", "no rows"),
        ("path,label,score\na,x,.1\nb,y,.4\nc,z,.5\n", "one score can't tell 3 classes"),
    ],
)
def test_what_is_not_clear_is_asked_in_one_sentence(tmp_path, text, words):
    (tmp_path / "theirs.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_table_of(tmp_path / "theirs.csv")


def test_columns_can_be_named(tmp_path, capsys):
    path = tmp_path / "theirs.csv"
    path.write_text("who,a,b,c\n1,0,.2,7\n1,1,.7,8\n2,0,.1,9\n2,,.3,6\n")
    found = read_table_of(path, told=Told({"label": "a", "score": "b", "patient": "who"}))
    assert found.predictions.score == pytest.approx([0.2, 0.7, 0.1])
    assert sorted(set(found.predictions.patients.tolist())) == ["1", "2"]
    assert "1 of 4 films have no label" in capsys.readouterr().err and len(found.table.rows) == 3
    assert [row["c"] for row in found.table.rows] == ["7", "8", "9"]
    for columns, words in (({"labl": "a"}, "Did you mean 'label'"), ({"label": "aa"}, "no column 'aa'")):
        with pytest.raises(InputError, match=words):
            read_table_of(path, told=Told(columns))


def test_scores_of_any_kind_keep_their_order_and_are_said_what_they_are_taken_for():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 3, 50)
    for scores, kind in (
        (values, "logit"),
        (values * 100, "rank"),
        (np.abs(values), "rank"),
        (rng.random(50) * 99, "percent"),
    ):
        chance, found, said = as_probabilities(scores)
        assert found.kind == kind and kind[:4] in said[0].replace("per cent", "percent")
        assert np.array_equal(np.argsort(chance), np.argsort(scores)) and chance.min() >= 0 and chance.max() <= 1
    assert as_probabilities(rng.random(9))[1:] == (Scale(), [])
    assert "decisions" in as_probabilities(np.array([0.0, 1, 1]))[2][0]
    assert as_probabilities(rng.random(9) * 9, "logit")[1].kind == "logit"
    for kind, words in (("percent", "no percent"), ("odds", "choose from")):
        with pytest.raises(InputError, match=words):
            as_probabilities(values, kind)


def test_arrays_are_predictions_too():
    by_name = from_arrays(np.where(TRUTH, "PNEUMONIA", "NORMAL"), CHANCE)
    by_index = from_arrays(TRUTH, np.column_stack([1 - CHANCE, CHANCE]), classes=["NORMAL", "PNEUMONIA"])
    by_truth = from_arrays(TRUTH.astype(bool), CHANCE, patients=np.arange(12) // 3)
    for p in (by_name, by_index, by_truth):
        assert np.array_equal(p.truth, TRUTH == 1) and p.score == pytest.approx(CHANCE)
    assert by_name.decision.positive == "PNEUMONIA" and len(set(by_truth.patients.tolist())) == 4
    for wrong, words in (
        (lambda: from_arrays(TRUTH, CHANCE[:5]), "don't fit"),
        (lambda: from_arrays(TRUTH, CHANCE * 9), "within 0..1"),
        (lambda: from_arrays(TRUTH, CHANCE, patients=[1]), "1 patients for 12"),
        (lambda: from_arrays(["a", "b", "c"], [0.1, 0.2, 0.3]), "can't tell 3 classes"),
        (lambda: from_arrays(["a", "b", "c"], np.ones((3, 3)) / 3, classes=["a", "b", "d"]), "label 'c' is none"),
    ):
        with pytest.raises(InputError, match=words):
            wrong()


def test_a_scale_found_before_gives_new_scores_the_same_numbers():
    rng = np.random.default_rng(1)
    old, new = rng.lognormal(8, 2, 200), rng.lognormal(8, 2, 50)
    _, scale, _ = as_probabilities(old)
    assert scale.kind == "rank"
    both = scale.probabilities(np.r_[old, new])
    assert np.array_equal(np.argsort(both), np.argsort(np.r_[old, new]))  # no two become equal, however large
    assert np.array_equal(both[200:], scale.probabilities(new))
    with pytest.raises(InputError, match="that is no percent"):
        Scale("percent").probabilities(np.array([-1.0, 50]))


def test_tables_of_the_same_films_without_the_truth_can_be_read_for_labelling(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("file,prob,threshold\na,0.2,9\nb,0.7,9\n")
    found = read_table_of(path, told=Told(classes=("0", "1"), labelled=False))
    assert found.predictions.score == pytest.approx([0.2, 0.7]) and not found.predictions.decision.own_thresholds
    with pytest.raises(InputError, match="hold the truth"):
        read_table_of(path)


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_long_table_is_read_as_a_short_one_with_a_bar_that_counts_its_rows(ending, tmp_path, monkeypatch):
    rows = [(f"{k}.png", ("no", "yes")[t], 1 - p, p) for k, (t, p) in enumerate(zip(TRUTH, CHANCE, strict=True))]
    text = table("path,label,p_no,p_yes", rows).encode()
    file = tmp_path / f"p.{ending}"
    file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    short = read_table_of(file).predictions
    steps: list[int] = []

    @contextmanager
    def watched(title, total):
        steps.append(total)
        yield SimpleNamespace(step=steps.append)

    monkeypatch.setattr(handed_in, "bar", watched)
    monkeypatch.setattr(handed_in, "LONG", 10)
    monkeypatch.setattr(handed_in, "SHOWN", 5)
    long = read_table_of(file).predictions
    assert long.paths == short.paths and np.array_equal(long.probabilities, short.probabilities)
    assert steps == ([] if ending.endswith("gz") else [13, 5, 5, 2])  # lines, with the header's; then rows
