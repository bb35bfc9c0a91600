"""What follows the fit, on validation films: calibration, operating point; and the gate, from the training films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from plainfilm.evaluation.calibration import fit_offsets, proven_offsets
from plainfilm.evaluation.findings import FindingsDecision, FindingsPredictions, chosen, of_classes, too_few
from plainfilm.evaluation.operating import choose
from plainfilm.evaluation.predictions import Predictions
from plainfilm.machine import ranks
from plainfilm.models.gate import Gate, fit_gate
from plainfilm.models.model import BATCH, Model, batches
from plainfilm.progress import bar, say
from plainfilm.training.fitting import Passed, passes_of
from plainfilm.training.preparation import Prepared

PREDICT_BATCH = 256
WATCHED = 2_000  # films of a part that the gate learns from what the network saw of
MEASURED = 250  # films that show how far 16 bits move log-odds: the next one moves further once in 251 films
AGAIN = "lie so near the threshold or the refer band that 16 bits may decide otherwise: computed again in 32"


def finish(prepared: Prepared, model: Model) -> Predictions | FindingsPredictions | None:
    """Give the fitted ``model`` calibrated biases, its rule of decision and its gate; return all films as labelled.

    Several processes label together; then they part, and all but the first return None.
    """
    watched = [_some(prepared, part, WATCHED) for part in ("train", "val")]
    logits, seen = all_answers(prepared, model, np.concatenate(watched))
    ranks.part()
    if ranks.rank():
        return None
    model.gate = _fit_gate(prepared, seen[: len(watched[0])], seen[len(watched[0]) :])
    findings = bool(prepared.films.findings)
    logits = (_calibrate_findings if findings else calibrate)(prepared, model, logits)
    _decide(prepared, model, logits)
    if model.bits == 16:
        logits = _settle(prepared, model, logits)
    return (_findings if findings else _labelled)(prepared, model, logits)


def _settle(prepared: Prepared, model: Model, logits: torch.Tensor) -> torch.Tensor:
    """Learn by how much 16 bits move log-odds; return (N, K) ``logits`` with those of a pass in 32 bits where they may
    change label or referral, by a rule that was chosen once more on the films that it decides."""
    model.margin = _margin(prepared, model)
    _decide(prepared, model, model.settled(logits, prepared.pixels))
    model.provenance["again_in_32_bits"] = again = len(model.unsure(logits))
    say(f"{again} of {len(logits):,} films {AGAIN}.")
    return model.settled(logits, prepared.pixels)


def _margin(prepared: Prepared, model: Model) -> float:
    """Return by how much 16 bits move the log-odds of MEASURED validation films at most."""
    films, most = _some(prepared, "val", MEASURED), 0.0
    with bar("Comparing 16 bits with 32", len(films)) as progress:
        for some in batches(films.tolist(), BATCH):
            most = max(most, float(model.moved(prepared.pixels[np.array(some)]).max()))
            progress.step(len(some))
    return most


def _some(prepared: Prepared, part: str, count: int) -> np.ndarray:
    """Return ``count`` of the positions of a part's films, rising; all if they are no more."""
    films = prepared.films.where(part)
    return np.sort(np.random.default_rng(prepared.config.seed).permutation(films)[:count])


def all_answers(prepared: Prepared, model: Model, watched: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Return (N, K) logits of every film, whatever its part, by the finished model, and what the gate looks at in the
    network, (M, D), of the films at ``watched``; D = 0 for an ensemble. Ranks take batches by turns."""
    passes, films = passes_of(prepared, model), len(prepared.films)
    found = torch.zeros(films, len(model.classes))
    row_of = np.full(films, -1)
    row_of[watched] = np.arange(len(watched))
    kept = torch.zeros(len(watched), _width(passes))
    size = BATCH if prepared.members else PREDICT_BATCH  # an ensemble may hold any network, whatever its size
    mine = ranks.turns(-(-films // size))
    with bar("Labelling films", len(mine)) as progress:
        for number in mine:
            batch = slice(number * size, (number + 1) * size)
            logits, seen = passes(batch)
            found[batch] = logits.cpu()
            if seen is not None:
                rows = row_of[batch]
                kept[rows[rows >= 0]] = seen.cpu()[torch.from_numpy(rows >= 0)]
            progress.step()
    return ranks.total(found), ranks.total(kept).numpy()


def _width(passes: Callable[[slice], Passed]) -> int:
    """Return how many numbers the gate looks at."""
    seen = passes(slice(0, 1))[1]
    return 0 if seen is None else seen.shape[1]


def _labelled(prepared: Prepared, model: Model, logits: torch.Tensor) -> Predictions:
    return Predictions.of(prepared.films.films, model.from_logits(logits), of_classes(model.decision, "Calibration"))


def _findings(prepared: Prepared, model: Model, logits: torch.Tensor) -> FindingsPredictions:
    assert isinstance(model.decision, FindingsDecision)
    return FindingsPredictions.of_films(prepared.films, model.from_logits(logits), model.decision)


def calibrate(prepared: Prepared, model: Model, logits: torch.Tensor) -> torch.Tensor:
    """Move the last layer's biases by what the validation films ask for, and return the (N, K) logits moved alike.

    Only for networks that steps have trained (class weights, label smoothing), of two classes, whose threshold moves
    along: among more the likeliest decides, and offsets would take back what class weights gave the rare ones. Not
    where validation films are those that are scored, and only where cross-fitting on them shows that it helps. The
    biases as trained are kept in the provenance.
    """
    films = prepared.films
    if not prepared.recipe.trained.by_steps or len(films.classes) > 2 or not films.where("test").size:
        return logits
    model.decision = replace(of_classes(model.decision, "Calibration"), temperature=1.0)
    found = proven_offsets(_labelled(prepared, model, logits).part("val"))
    if found is None:
        return logits
    offsets = found.astype(np.float32)
    trained = _last_layer(model).bias.tolist()
    model.provenance["uncalibrated"] = trained
    _set_bias(model, (np.array(trained, dtype=np.float32) + offsets).tolist())
    return logits + torch.from_numpy(offsets)


def _calibrate_findings(prepared: Prepared, model: Model, logits: torch.Tensor) -> torch.Tensor:
    """Do what ``calibrate`` does for each finding, by the validation films of which it is known."""
    films = prepared.films
    if not prepared.recipe.trained.by_steps or not films.where("test").size:
        return logits
    model.decision = FindingsDecision.of_names(films.findings)
    val = _findings(prepared, model, logits).part("val")
    offsets = torch.tensor([_offset(val.of(name)) for name in films.findings])
    trained = _last_layer(model).bias.tolist()
    model.provenance["uncalibrated"] = trained
    _set_bias(model, (torch.tensor(trained) + offsets).tolist())
    return logits + offsets


def _offset(val: Predictions) -> float:
    """Return what to add to a finding's logit; 0 where too few validation films are known."""
    if too_few(val):
        return 0.0
    off = fit_offsets(val)
    return float(off[1] - off[0])


def as_trained(model: Model) -> Model:
    """Return a finished ``model`` with the biases that it had before ``calibrate``."""
    if "uncalibrated" in model.provenance:
        _set_bias(model, model.provenance["uncalibrated"])
    return model


def _offsets(model: Model) -> tuple[float, ...]:
    trained = model.provenance.get("uncalibrated")
    return (
        () if trained is None else tuple((_last_layer(model).bias.detach().cpu().numpy() - np.array(trained)).tolist())
    )


def _last_layer(model: Model) -> torch.nn.Linear:
    last = model.network.head[-1]  # type: ignore[index,union-attr]
    assert isinstance(last, torch.nn.Linear)
    return last


@torch.no_grad()
def _set_bias(model: Model, values: list[float]) -> None:
    bias = _last_layer(model).bias
    bias.copy_(torch.tensor(values, dtype=bias.dtype))


def _decide(prepared: Prepared, model: Model, logits: torch.Tensor) -> None:
    """Give the model temperature, threshold and refer band as the validation films, with (N, K) ``logits``, have it;
    one of findings a rule for each, from the validation films of which it is known."""
    films, config = prepared.films, prepared.config
    fitted = bool(films.where("test").size)  # else validation films are those that are scored
    if films.findings:
        model.decision = FindingsDecision.of_names(films.findings)
        cells = _findings(prepared, model, logits).part("val")
        model.decision = chosen(cells, lambda some: choose(some, config.threshold, config.refer, fitted))
        return
    model.decision = replace(of_classes(model.decision, "Calibration"), temperature=1.0)
    val = _labelled(prepared, model, logits).part("val")
    decision = choose(val, config.threshold, config.refer, fitted, proven=True)
    model.decision = replace(decision, offsets=_offsets(model))


def _fit_gate(prepared: Prepared, seen: np.ndarray, others: np.ndarray) -> Gate:
    """Return the gate that knows how the training films look. ``seen``, ``others``: what the network saw of training
    and of validation films."""
    films = prepared.films
    train = films.where("train")
    groups = np.array([films.films[i].group for i in train])
    labels = None if films.findings else films.labels[train]
    gate = fit_gate(prepared.pixels, train, np.random.default_rng(prepared.config.seed), groups, labels)
    return gate.with_insight(seen, others) if seen.shape[1] and min(len(seen), len(others)) > 1 else gate


def prior(prepared: Prepared, model: Model) -> float:
    """Return the share of the positive class that the probabilities are for: that among the training films, by class
    weight where the weights were not calibrated away; of an ensemble its members' mean."""
    if prepared.members:
        return float(np.mean([member["prior"] for member in model.provenance["members"]]))
    films = prepared.films
    shares = np.array([prepared.drawn[name] for name in films.classes])
    if prepared.recipe.trained.by_steps and not model.decision.offsets:  # a logistic regression has no weights
        shares *= [prepared.class_weights[name] for name in films.classes]
    return float(shares[model.decision.column] / shares.sum())
