"""Batches: made ahead of the step, and by a rank no further than it needs; the films and draws are the same."""

from __future__ import annotations

import threading
from itertools import islice

import numpy as np
import pytest
import torch

from plainfilm.config import TrainConfig
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.machine import ranks
from plainfilm.machine.threads import prefetched
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.training.feed import Feed, Material
from plainfilm.training.loop import Training, train_network

P = Preprocess(size=16)
CHANGED = {"augment": "rotation=10,style=.6,noise=5,erase=.3", "mixup": 0.4}


def material(films: int = 40) -> Material:
    pixels = np.random.default_rng(0).integers(0, 255, (films, 16, 16), dtype=np.uint8)
    every = np.arange(films)
    return Material(Rows(pixels, every, {}), every % 2, every[:30], every[30:], np.ones(2, np.float32))


def test_items_come_in_order_and_are_made_by_another_thread():
    made: list[tuple[int, int]] = []
    coming = prefetched(lambda item: made.append((item, threading.get_ident())) or item * 10, range(6), 1, 2)
    assert next(coming) == 0 and list(islice(coming, 3)) == [10, 20, 30]
    assert list(coming) == [40, 50]
    assert [item for item, _ in made] == list(range(6)) and {thread for _, thread in made} != {threading.get_ident()}


def test_no_more_is_made_than_may_wait():
    made: list[int] = []
    coming = prefetched(made.append, iter(range(100)), 1, 2)
    next(coming)
    coming.close()  # waits for the one that is being made
    assert len(made) <= 3


def test_what_goes_wrong_is_raised_where_its_item_is_due():
    coming = prefetched(lambda item: 1 // item, [1, 1, 0, 1], 1, 2)
    assert [next(coming), next(coming)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(coming)


@pytest.mark.parametrize("settings", [{}, CHANGED])
def test_training_on_batches_made_ahead_gives_the_same_bytes(tmp_path, monkeypatch, settings):
    found = []
    for folder in ("plain", "ahead"):
        network = recipe("vgg").build(2, P)
        initialise(network, torch.Generator().manual_seed(0))
        train_network(
            network, P, material(), TrainConfig(epochs=2, batch=8, **settings), tmp_path / folder, resume=False
        )
        found.append([value.numpy().tobytes() for value in network.state_dict().values()])
        monkeypatch.setattr(
            Training,
            "_batches",
            lambda run, parts, generator: prefetched(lambda films: run.feed.batch(films, generator), parts, 1, 2),
        )
    assert found[0] == found[1]


def test_a_rank_makes_its_own_share_whichever_thread_makes_it(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ranks, "_joined", 2)
    feed = Feed(material(), TrainConfig())
    [batch] = prefetched(lambda films: feed.batch(films, torch.Generator()), [np.arange(24)], 1, 2)
    assert torch.equal(batch.pixels, torch.from_numpy(material().pixels[np.arange(12, 24)]))


@pytest.mark.parametrize("world", [2, 3, 30])
def test_the_mixtures_of_the_ranks_are_those_of_one_process(monkeypatch, world):
    def mixed(rank: int, of: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        monkeypatch.setattr(ranks, "rank", lambda: rank)
        monkeypatch.setattr(ranks, "world", lambda: of)
        batch = Feed(material(), TrainConfig(**CHANGED)).batch(np.arange(30), torch.Generator().manual_seed(3))
        assert batch.films == 30 and batch.mix and 0.5 <= batch.mix.part <= 1
        part, own, other = batch.mix
        labels = torch.stack([batch.labels[own], batch.labels[other]])
        return part * batch.pixels[own] + (1 - part) * batch.pixels[other], labels, len(batch.pixels)

    pixels, labels, count = mixed(0, 1)
    shares = [mixed(rank, world) for rank in range(world)]
    assert count == 30 and all(few <= 2 * -(-30 // world) for _, _, few in shares)  # its own films and their partners
    assert torch.equal(torch.cat([share for share, _, _ in shares]), pixels)
    assert torch.equal(torch.cat([share for _, share, _ in shares], 1), labels)
