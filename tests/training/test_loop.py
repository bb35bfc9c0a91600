from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from plainfilm.config import TrainConfig
from plainfilm.errors import InputError, PlainfilmError
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import Rows
from plainfilm.models.vgg import initialise
from plainfilm.models.zoo import recipe
from plainfilm.storage.tables import read_csv
from plainfilm.training.feed import Material
from plainfilm.training.loop import Training, batches, class_weights, train_network
from plainfilm.training.schedules import rate
from plainfilm.training.task import weighted_cross_entropy

P = Preprocess(size=16)


def material(count: int = 60) -> Material:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3 // 2  # two of the first class for one of the second
    pixels = rng.integers(0, 120, (count, 16, 16), dtype=np.uint8)
    pixels[labels == 1, 4:10, 4:10] += 120
    films = np.arange(count)
    rows = Rows(pixels, films, {})
    return Material(
        rows, labels.astype(np.int64), films[: count * 3 // 4], films[count * 3 // 4 :], np.array([1, 2], np.float32)
    )


def network(name: str = "vgg", seed: int = 0):
    built = recipe(name).build(2, P)
    initialise(built, torch.Generator().manual_seed(seed))
    return built


def test_class_weights_by_name():
    counts = {"NORMAL": 1341, "PNEUMONIA": 3875}
    balanced = class_weights("balanced", counts)
    assert balanced == {"NORMAL": 3875 / 1341, "PNEUMONIA": 1.0}
    assert balanced["NORMAL"] > balanced["PNEUMONIA"]  # the rarer class weighs more, whatever the order of names
    assert class_weights("balanced", {"A": 30, "B": 10}) == {"A": 1.0, "B": 3.0}
    assert class_weights("normal=3,pneumonia=1", counts) == {"NORMAL": 3.0, "PNEUMONIA": 1.0}
    assert class_weights("none", counts) == {"NORMAL": 1.0, "PNEUMONIA": 1.0}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("norml=3,pneumonia=1", "Did you mean 'NORMAL'"),
        ("normal=3", "no weight for PNEUMONIA"),
        ("normal=0,pneumonia=1", "above 0"),
        ("3,1", "NAME=NUMBER"),
    ],
)
def test_wrong_class_weights(setting, said):
    with pytest.raises(InputError, match=said):
        class_weights(setting, {"NORMAL": 1, "PNEUMONIA": 2})


def test_the_loss_is_the_papers_binary_cross_entropy_on_one_hot_labels():
    logits = torch.randn(50, 2, dtype=torch.float64)
    labels = torch.arange(50) % 2
    weights = torch.tensor([2.7, 1.0], dtype=torch.float64)
    one_hot = F.one_hot(labels, 2).double()
    bce = F.binary_cross_entropy(torch.softmax(logits, 1), one_hot, reduction="none").mean(1)  # Keras: mean of outputs
    assert torch.allclose(weighted_cross_entropy(logits, labels, weights), (bce * weights[labels]).mean())


def test_twenty_steps_equal_a_plain_loop(tmp_path):
    """The same mathematics as torch written down without anything of ours around it."""
    some, config = material(100), TrainConfig(epochs=5, batch=20, seed=3)
    some = replace(some, train=np.arange(80), val=np.arange(80, 100))
    ours = network()
    train_network(ours, P, some, config, tmp_path, resume=False)

    plain = network().to(memory_format=torch.channels_last)  # dropout draws in the order of memory
    optimizer = torch.optim.SGD(plain.parameters(), lr=config.learning_rate)
    pixels, labels, step = torch.tensor(some.pixels.data), torch.tensor(some.labels), 0
    for epoch in range(5):
        seed = int(np.random.SeedSequence((3, epoch)).generate_state(1)[0])
        order = torch.randperm(80, generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        for batch in order.split(20):
            for group in optimizer.param_groups:
                group["lr"] = rate("keras", 0.05, 5, epoch, step)
            plain.train()
            # the input's own arithmetic is tested elsewhere; a last bit that differs there grows in 20 steps
            x = P.tensor(pixels[batch]).contiguous(memory_format=torch.channels_last)
            loss = F.nll_loss(F.log_softmax(plain(x), 1), labels[batch], reduction="none")
            loss = (loss * torch.tensor([1.0, 2.0])[labels[batch]]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    assert step == 20
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def plain_network(batch_norm: bool) -> nn.Sequential:
    """The paper's network as anybody would write it in torch, for films of 16×16."""
    layers: list[nn.Module] = []
    width = 3
    for filters in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(width, filters, 3, padding=1), nn.ReLU()]
            layers += [nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)] if batch_norm else []
            width = filters
        layers += [nn.MaxPool2d(2), nn.Dropout(0.0)]
    layers += [nn.Flatten(), nn.Linear(512, 512), nn.ReLU()]
    layers += [nn.BatchNorm1d(512, eps=1e-3, momentum=0.01)] if batch_norm else []
    return nn.Sequential(*layers, nn.Dropout(0.0), nn.Linear(512, 2))


class InFloat64:
    """Rounding grows a thousandfold in 20 steps with batch normalisation; in float64 it stays out of sight."""

    @staticmethod
    def tensor(pixels: torch.Tensor) -> torch.Tensor:
        return P.tensor(pixels).double()


@pytest.mark.parametrize("name", ["vgg", "vgg-bn"])
def test_twenty_steps_lose_what_a_plain_channels_first_network_loses(name):
    """Nothing of ours in the plain one; dropout, whose draws differ, has tests of its own and is off in both."""
    some, ours, plain = material(120), network(name).double(), plain_network(name == "vgg-bn").double()
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    for layer in ours.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    ours.to(memory_format=torch.channels_last)
    config, scaler = TrainConfig(model=name), torch.amp.GradScaler(enabled=False)
    run = Training(ours, ours, InFloat64(), some, config, torch.optim.SGD(ours.parameters(), 0.01), scaler)
    optimizer = torch.optim.SGD(plain.parameters(), 0.01)
    films = np.random.default_rng(0).permutation(np.repeat(np.arange(120), 4)).reshape(20, 24)
    found = [run.step(run.feed.batch(batch, torch.Generator()), 0.01)[0] for batch in films]
    expected = []
    for batch in films:
        x, labels = InFloat64.tensor(torch.tensor(some.pixels[batch])).contiguous(), torch.tensor(some.labels[batch])
        losses = F.cross_entropy(plain(x).float(), labels, reduction="none")
        optimizer.zero_grad()
        (losses * torch.tensor([1.0, 2.0])[labels]).mean().backward()
        optimizer.step()
        expected.append(float(losses.sum().detach()))
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert expected[-1] < expected[0]


def test_history_learns_and_the_plateau_is_left(tmp_path):
    progress, _ = train_network(network(), P, material(), TrainConfig(epochs=12, batch=8), tmp_path, resume=False)
    header, rows = read_csv(tmp_path / "history.csv")
    assert header == ["epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"]
    assert len(rows) == len(progress.history) == 12 and [r["epoch"] for r in rows] == [str(i) for i in range(1, 13)]
    assert float(rows[-1]["val_accuracy"]) == 1.0 and float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vgg", {}),
        ("vgg-bn", {"average": 0.9, "mixup": 0.4, "augment": "style=1,noise=5,erase=.3,sharpness=1,equalise=1"}),
        ("vgg", {"momentum": 0.9, "decay": "cosine", "weight_decay": 1e-3, "label_smoothing": 0.1}),
        ("vgg", {"optimizer": "adam", "learning_rate": 1e-3, "patience": 2}),
        ("vgg-bn", {"optimizer": "adamw", "learning_rate": 1e-3, "decay": "one-cycle", "average": 0.5, "patience": 1}),
        ("vgg", {"optimizer": "rmsprop", "learning_rate": 1e-3, "momentum": 0.5}),
        ("vgg", {"optimizer": "lion", "learning_rate": 1e-4, "weight_decay": 0.1}),
    ],
)
def test_resume_at_any_epoch_gives_the_same_bytes(tmp_path, name, settings, monkeypatch):
    config = TrainConfig(**{"model": name, "epochs": 4, "batch": 8, "augment": "rotation=10,flip=1"} | settings)
    w = network(name)
    train_network(w, P, material(), config, tmp_path / "whole", resume=False)
    for stop in (1, 3):
        folder = tmp_path / str(stop)
        import plainfilm.training.checkpoint as checkpoint

        real = checkpoint.save

        def save_then_die(path, networks, optimizer, progress, stop=stop, real=real):
            real(path, networks, optimizer, progress)
            if progress.epoch == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", save_then_die)
        with suppress(KeyboardInterrupt):  # a run that stopped early by itself never comes to be killed
            train_network(network(name), P, material(), config, folder, resume=False)
        monkeypatch.setattr(checkpoint, "save", real)
        resumed = network(name, seed=9)  # its own initial weights must not matter
        train_network(resumed, P, material(), config, folder, resume=True)
        for (key, a), (_, b) in zip(w.state_dict().items(), resumed.state_dict().items(), strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes(), key
        rows = [read_csv(f / "history.csv")[1] for f in (tmp_path / "whole", folder)]
        assert [{**r, "seconds": 0} for r in rows[0]] == [{**r, "seconds": 0} for r in rows[1]]


def test_training_leaves_the_callers_random_state_alone(tmp_path):
    built = network()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_network(built, P, material(), TrainConfig(epochs=1, batch=30), tmp_path, resume=False)
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    with pytest.raises(PlainfilmError, match=r"loss is (nan|inf) in epoch \d+, step \d+: lower --learning-rate"):
        train_network(
            network(), P, material(), TrainConfig(epochs=9, batch=8, learning_rate=900), tmp_path, resume=False
        )


@pytest.mark.parametrize(
    ("films", "sizes"), [(1, [1]), (8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (4, [4]), (3, [3]), (5, [5])]
)
def test_no_film_is_left_alone_in_a_batch(films, sizes):
    parts = batches(films, 4)
    assert [len(range(films)[part]) for part in parts] == sizes
    assert [film for part in parts for film in range(films)[part]] == list(range(films))


def test_batch_norm_trains_whatever_is_left_for_the_last_batch(tmp_path):
    train_network(network("vgg-bn"), P, material(60), TrainConfig(epochs=1, batch=44), tmp_path, resume=False)
    with pytest.raises(InputError, match="needs two films per step"):
        train_network(network("vgg-bn"), P, material(), TrainConfig(epochs=1, batch=1), tmp_path, resume=False)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train_network(network(), P, material(), TrainConfig(epochs=1, batch=30), tmp_path, resume=False)
    with pytest.raises(InputError, match="does not fit this run"):
        train_network(network("vgg-bn"), P, material(), TrainConfig(epochs=2, batch=30), tmp_path, resume=True)


def test_the_rehearsal_fails_before_the_first_epoch(tmp_path):
    broken = material()
    broken = replace(broken, val=np.array([10_000]))
    with pytest.raises(IndexError):
        train_network(network(), P, broken, TrainConfig(epochs=1), tmp_path, resume=False)
    assert not (tmp_path / "history.csv").exists()


def test_early_stopping_keeps_the_best_epoch_and_average_is_what_validates(tmp_path):
    """A learning rate that ruins the network after a good start: the result is from before."""
    config = TrainConfig(epochs=40, batch=8, optimizer="adam", learning_rate=0.01, patience=2, average=0.5)
    built, some = network(), material()
    progress, _ = train_network(built, P, some, config, tmp_path, resume=False)
    losses = [row[3 + 1] for row in progress.history]
    best = losses.index(min(losses)) + 1
    assert progress.epoch == len(losses) == min(best + 2, 40)
    built.eval()
    with torch.no_grad():
        logits = built(P.tensor(some.pixels[some.val]))
    assert float(F.cross_entropy(logits, torch.tensor(some.labels[some.val]))) == pytest.approx(min(losses), abs=1e-5)


def test_the_average_of_one_step_is_a_tenth_of_the_way_less(tmp_path):
    """After its first step the average keeps 1/10 of the weights before it: min(average, (1 + n) / (10 + n)), n = 0."""
    some, config = material(), TrainConfig(epochs=1, batch=45, average=0.99)
    before, plain, averaged = (dict(network().state_dict()) for _ in range(3))
    for result, settings in ((plain, {"average": 0.0}), (averaged, {})):
        built = network()
        train_network(built, P, some, replace(config, **settings), tmp_path / str(len(settings)), resume=False)
        result.update({k: v.clone() for k, v in built.state_dict().items()})
    for name, value in averaged.items():
        assert torch.allclose(value, before[name] * 0.1 + plain[name] * 0.9, atol=1e-6), name


def test_label_smoothing_gives_its_share_to_all_classes():
    logits, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([0])
    plain, other = (F.cross_entropy(logits, torch.tensor([k])) for k in (0, 1))
    smoothed = weighted_cross_entropy(logits, labels, torch.ones(2), 0.2)
    assert float(smoothed) == pytest.approx(float(0.9 * plain + 0.1 * other))


def test_a_models_own_settings_stand_behind_the_users():
    assert TrainConfig().optimizer == "sgd" and TrainConfig(model="vgg-bn").epochs == 30
    own = TrainConfig(model="best")
    assert (own.optimizer, own.resize) == ("adamw", "stretch") and TrainConfig(model="best", epochs=3).epochs == 3
    assert replace(own, seed=7).optimizer == "adamw"
    larger = TrainConfig(model="best-gpu")
    assert (larger.augment, larger.batch, own.batch) == (own.augment, 64, 32)
    with pytest.raises(InputError, match="no setting 'epoch'"):
        TrainConfig(epoch=3)


def test_a_network_that_diverges_in_the_last_step_of_an_epoch_is_not_kept(tmp_path):
    # One step an epoch: its loss is from before the step, and nothing else would look at what the step made.
    config = TrainConfig(epochs=3, batch=200, learning_rate=1000, decay="epoch")
    with pytest.raises(PlainfilmError, match=r"loss is (nan|inf) in validation after epoch \d: lower --learning-rate"):
        train_network(network(), P, material(60), config, tmp_path, resume=False)


def test_a_training_in_16_bits_keeps_32_bit_weights_and_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    config = TrainConfig(epochs=3, batch=8, average=0.9, optimizer="adamw", learning_rate=1e-3)
    whole, single = network("vgg-bn"), network("vgg-bn")
    progress, optimizer = train_network(whole, P, material(), config, tmp_path / "whole", resume=False, bits=16)
    train_network(single, P, material(), config, tmp_path / "single", resume=False)
    state = [*whole.state_dict().values(), *(v for s in optimizer.state.values() for v in s.values())]
    assert {value.dtype for value in state} == {torch.float32, torch.int64}
    assert progress.history[-1][1] < progress.history[0][1]
    pairs = list(zip(whole.state_dict().values(), single.state_dict().values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in pairs)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "epoch", killed_after(Training.epoch, 1))
        with suppress(KeyboardInterrupt):
            train_network(network("vgg-bn"), P, material(), config, tmp_path / "cut", resume=False, bits=16)
    resumed = network("vgg-bn", seed=9)
    train_network(resumed, P, material(), config, tmp_path / "cut", resume=True, bits=16)
    assert all(map(torch.equal, whole.state_dict().values(), resumed.state_dict().values()))


def killed_after(epoch, last):
    """An epoch that Ctrl-C interrupts once ``last`` is done."""

    def interrupted(run, number, shown):
        if number > last:
            raise KeyboardInterrupt
        return epoch(run, number, shown)

    return interrupted
