from __future__ import annotations

import asyncio

import numpy as np
import pytest

from plainfilm.data.films import FilmError
from plainfilm.explain.heatmaps import heat_map
from plainfilm.models.answer import look
from plainfilm.serving.limits import Limits, Refusal
from plainfilm.serving.predictor import MEASURES, Predictor
from plainfilm.storage.tables import read_csv


def ask(predictor, *many):
    """Answers to several requests at once."""

    async def together():
        return await asyncio.gather(*(predictor.label(films) for films in many), return_exceptions=True)

    return asyncio.run(together())


@pytest.fixture
def predictor(model):
    found = Predictor(model, Limits())
    yield found
    found.close()


def test_a_film_alone_among_7_among_64_and_by_label_is_the_same_to_the_last_bit(predictor, make_film, tmp_path):
    from plainfilm.commands.label import label

    model = predictor.model
    films = [make_film(i, bool(i % 2)) for i in range(64)]
    alone = [ask(predictor, [film])[0][0].probabilities for film in films]
    seven = [a.probabilities for a in ask(predictor, films[:7])[0]]
    many = [a.probabilities for found in ask(predictor, films[::-1], films[5:9]) for a in found]
    assert np.array_equal(seven, alone[:7]) and np.array_equal(many, alone[::-1] + alone[5:9])
    for i, film in enumerate(films):
        (tmp_path / f"{i:02d}.jpeg").write_bytes(film)
    label(model, [str(tmp_path / f"{i:02d}.jpeg") for i in range(64)], tmp_path / "labels.csv")
    _, rows = read_csv(tmp_path / "labels.csv")
    written = [[float(row[f"p_{name}"]) for name in model.classes] for row in rows]
    assert np.array_equal(written, alone)


def test_answers_keep_their_order_and_the_unreadable_its_reason(predictor, make_film):
    found = ask(predictor, [make_film(1, True), b"no film", make_film(2, False)])[0]
    assert isinstance(found[1], FilmError) and "not a JPEG" in str(found[1])
    assert [f.label in predictor.model.classes for f in (found[0], found[2])] == [True, True]
    assert len(predictor.recent) == 2 and predictor.recent[0].shape == (len(MEASURES),)
    # Films are answered side by side, so the second may be through first.
    assert {measures[0] for measures in predictor.recent} == {f.probabilities[1] for f in (found[0], found[2])}
    assert predictor.waiting == 0


def test_heat_maps_and_labels_at_the_same_time_are_those_of_a_quiet_service(predictor, make_film):
    films = [make_film(i, bool(i % 2)) for i in range(24)]
    quiet = [found.probabilities for found in ask(predictor, films)[0]]
    pixels = [look(predictor.model, film).pixels[None] for film in films]
    maps = [heat_map(predictor.model, shown) for shown in pixels]

    async def crowd():
        drawn = (predictor.explain(lambda model, shown=shown: heat_map(model, shown)) for shown in pixels)
        return await asyncio.gather(predictor.label(films), *drawn)

    for _ in range(5):
        answers, *drawn = asyncio.run(crowd())
        assert all(np.array_equal(a.probabilities, b) for a, b in zip(answers, quiet, strict=True))
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(drawn, maps, strict=True))


def test_heat_maps_take_no_second_copy_of_the_weights(predictor):
    own, seen = predictor.model.network, asyncio.run(predictor.explain(lambda model: model.network))
    assert own is not seen
    assert {p.data_ptr() for p in own.parameters()} == {p.data_ptr() for p in seen.parameters()}


def test_a_full_queue_refuses_with_the_seconds_to_wait(model, slowed, make_film):
    predictor = Predictor(slowed(model, 0.02), Limits(queue=4))
    film = make_film(1, True)
    first, second, third = ask(predictor, [film] * 6, [film], [film])
    assert len(first) == 6  # nobody was before it, so it may be longer than the queue
    assert all(isinstance(r, Refusal) and r.status == 503 and r.retry_after >= 1 for r in (second, third))
    assert predictor.waiting == 0
    assert len(ask(predictor, [film])[0]) == 1
    predictor.close()


def test_what_would_come_too_late_is_refused_at_once_and_what_is_late_is_given_up(model, slowed, make_film):
    predictor = Predictor(slowed(model, 0.05), Limits(answer_seconds=0.5))
    film = make_film(1, True)
    late, refused = ask(predictor, [film] * 30, [film])
    assert refused.status == 503 and "Busy: 30 films" in refused.sentence
    assert late.status == 503 and "No answer within 0.5 seconds" in late.sentence
    assert predictor.waiting == 0 and len(predictor.recent) < 30
    assert len(ask(predictor, [film])[0]) == 1
    predictor.close()
