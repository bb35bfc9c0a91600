"""Metaheuristics beside random search and gradients, at equal budgets: docs/evidence/metaheuristics.md and its figure.

    python benchmarks/metaheuristics.py functions
    python benchmarks/metaheuristics.py head runs/vgg16-lr       (a run with features.h5)
    python benchmarks/metaheuristics.py network                  (synthetic films: anybody can run it)

Each writes benchmarks/metaheuristics-NAME.json; `figure` draws all that are there.
"""

from __future__ import annotations

import copy
import datetime
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.stats import friedmanchisquare, rankdata, wilcoxon
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn

from plainfilm.data.sources import load
from plainfilm.data.split import split
from plainfilm.evaluation.areas import auc_interval
from plainfilm.evaluation.compare import holm
from plainfilm.evaluation.intervals import Bools, Floats
from plainfilm.image.preprocess import Preprocess
from plainfilm.image.store import ingest
from plainfilm.search.algorithms import algorithm
from plainfilm.search.objectives import specificity_at
from plainfilm.storage.files import read_json, write_json
from plainfilm.storage.tables import read_csv

HERE = Path(__file__).parent
Cost = Callable[[Floats], float]  # a point (D,) of the box -1..1 -> what is to be small

# -- one run -----------------------------------------------------------------------------------------------------------


def minimise(
    name: str, cost: Cost, dimensions: int, seed: int, budget: int, start: Floats | None = None
) -> tuple[Floats, list[float]]:
    """Return the best of ``budget`` points and the best cost after each; a ``start`` is the first point of all."""
    chosen = algorithm(name, dimensions, seed, budget, start=start, step=0.1)
    points = [] if start is None else [start]
    costs = [cost(point) for point in points]
    while len(costs) < budget:
        asked = chosen.ask()
        found = [cost(point) for point in asked]
        chosen.tell(np.array(found)[:, None])
        points, costs = [*points, *asked], [*costs, *found]
    points, costs = points[:budget], costs[:budget]
    return points[int(np.argmin(costs))], np.minimum.accumulate(costs).tolist()


# -- 1. functions whose optimum is known ------------------------------------------------------------------------------


def sphere(z: Floats) -> float:
    """0 at 0, round."""
    return float((z**2).sum())


def rastrigin(z: Floats) -> float:
    """0 at 0, a regular field of local optima."""
    return float((z**2 - 10 * np.cos(2 * np.pi * z) + 10).sum())


def rosenbrock(z: Floats) -> float:
    """0 at 0 (moved there from 1), a bent valley."""
    y = z + 1
    return float((100 * (y[1:] - y[:-1] ** 2) ** 2 + (1 - y[:-1]) ** 2).sum())


def ackley(z: Floats) -> float:
    """0 at 0, flat far away, many shallow optima."""
    first = -20 * np.exp(-0.2 * np.sqrt((z**2).mean()))
    return float(first - np.exp(np.cos(2 * np.pi * z).mean()) + 20 + np.e)


FUNCTIONS: dict[str, tuple[Callable[[Floats], float], float]] = {  # with half the side of the usual box
    "sphere": (sphere, 5.12),
    "Rastrigin": (rastrigin, 5.12),
    "Rosenbrock": (rosenbrock, 2.048),
    "Ackley": (ackley, 32.0),
}


def placed(name: str, optimum: Floats) -> Cost:
    """Return the function with its optimum at ``optimum`` (D,) of the box -1..1."""
    function, half = FUNCTIONS[name]
    return lambda point: function(half * (point - optimum))


def functions(seeds: int = 5, dimensions: int = 10, budget: int = 600) -> dict[str, Any]:
    """Every algorithm on every function, its optimum in the middle of the box and anywhere in it."""
    names = ("random", "cmaes", "ga", "de", "pso", "gwo", "woa")
    table: dict[str, Any] = {}
    for function in FUNCTIONS:
        for place in ("centred", "shifted"):
            cells: dict[str, list[float]] = {name: [] for name in names}
            for seed in range(seeds):
                anywhere = np.random.default_rng((seed, 7)).uniform(-0.8, 0.8, dimensions)
                cost = placed(function, anywhere if place == "shifted" else np.zeros(dimensions))
                for name in names:
                    cells[name].append(minimise(name, cost, dimensions, seed, budget)[1][-1])
            table[f"{function}, {place}"] = {name: float(np.median(values)) for name, values in cells.items()}
            print(function, place, {k: f"{v:.3g}" for k, v in table[f"{function}, {place}"].items()}, flush=True)
    return {"seeds": seeds, "dimensions": dimensions, "budget": budget, "median": table}


# -- 2. the weights of a head on frozen features ----------------------------------------------------------------------

HEADS = ("random", "tpe", "cmaes", "ga", "de", "pso", "gwo", "woa")
REACH = 8.0  # weight at the end of the box, for features of unit variance
COMPONENTS = 16
MISSED = 5.0  # what a sick film let go costs, in false alarms


Target = Callable[[Bools, Floats], float]  # truth (N,), log-odds (N,) -> a cost, smaller is better


def missed_specificity(truth: Bools, odds: Floats) -> float:
    """Return 1 - specificity at sensitivity 0.95: flat almost everywhere, so it has no gradient to follow."""
    return 1 - specificity_at(truth, odds)


def expected_cost(truth: Bools, odds: Floats, missed: float = 5.0, alarm: float = 1.0) -> float:
    """Return the mean cost a film of deciding at log-odds 0: ``missed`` a sick film let go, ``alarm`` a false one."""
    called = odds >= 0
    return float(np.mean(np.where(truth, missed * ~called, alarm * called)))


def log_odds(point: Floats, x: Floats, reach: float) -> Floats:
    """Return (N,) log-odds of films x (N, R) under the head at ``point`` (R + 1,) of the box -1..1: weights, bias.

    ``reach``: the weight at the end of the box. Where x has unit variances all weights have the same say.
    """
    return np.asarray(x @ point[:-1] * reach + point[-1] * reach)


def logistic_head(x: Floats, truth: Bools, reach: float, strength: float = 1.0) -> Floats:
    """Return the point (R + 1,) of the box at the L2-penalised logistic solution, found by L-BFGS.

    x (N, R), truth (N,); ``strength`` is C. ValueError when it lies outside the box.
    """
    fit = LogisticRegression(C=strength, max_iter=1000).fit(x, truth)
    point = np.append(fit.coef_[0], fit.intercept_[0]) / reach
    if np.abs(point).max() > 1:
        raise ValueError(f"The logistic head needs weights up to {np.abs(point).max() * reach:.3g}; raise the reach.")
    return np.asarray(point)


def pooled(run: Path) -> tuple[Floats, np.ndarray, np.ndarray]:
    """Return VGG16's features (N, 512), each the mean over its 7 × 7 map, truth (N,) and patient (N,) of a run."""
    _, films = read_csv(run / "films.csv")
    patients = np.array([film["patient"] or film["path"] for film in films])
    with h5py.File(run / "features.h5") as file:
        x = np.concatenate(
            [
                file["features"][i : i + 256].reshape(-1, 512, 49).mean(2, dtype=np.float64)
                for i in range(0, len(films), 256)
            ]
        )
        assert [path.decode() for path in file["paths"][:]] == [film["path"] for film in films]
    return x, np.array([film["label"] != "NORMAL" for film in films]), patients


def halves(truth: np.ndarray, patients: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (fitted, held out) positions: two thirds and one third of the films, patients whole."""
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=seed)
    return next(iter(folds.split(truth, truth, patients)))


def whitened(x: Floats, fitted: np.ndarray, components: int) -> Floats:
    """Return (N, components) principal coordinates, each of unit variance on the ``fitted`` films."""
    centre = x[fitted].mean(0)
    _, axes = np.linalg.eigh(np.cov(x[fitted], rowvar=False))
    z = (x - centre) @ axes[:, ::-1][:, :components]
    return z / z[fitted].std(0)


def head(run: Path, seeds: int = 12, budget: int = 250) -> dict[str, Any]:
    """Heads searched for two targets without a gradient, from nothing and from the logistic solution."""
    x, truth, patients = pooled(run)
    found: dict[str, Any] = {"seeds": seeds, "budget": budget, "components": COMPONENTS, "films": len(truth)}
    setups: dict[str, tuple[Target, float, bool]] = {
        "specificity at sensitivity 0.95, from nothing": (missed_specificity, 0.0, False),
        "specificity at sensitivity 0.95, from logistic": (missed_specificity, 0.0, True),
        "cost (5 a missed film, 1 a false alarm), from logistic": (expected_cost, np.log(MISSED), True),
    }
    cells: dict[str, Any] = {title: {name: [] for name in ("logistic", *HEADS)} for title in setups}
    curves: dict[str, Any] = {title: {name: [] for name in HEADS} for title in setups}
    for seed in range(seeds):
        fitted, held = halves(truth, patients, seed)
        z = whitened(x, fitted, COMPONENTS)
        for title, (target, shift, warm) in setups.items():
            begin = logistic_head(z[fitted], truth[fitted], REACH)
            begin[-1] += shift / REACH  # where Bayes' rule puts the cut for these costs

            def cost(point: Floats, films: np.ndarray = fitted, z: Floats = z, target: Target = target) -> float:
                return target(truth[films], log_odds(point, z[films], REACH))

            cells[title]["logistic"].append([cost(begin), cost(begin, held)])
            for name in HEADS:
                best, curve = minimise(name, cost, COMPONENTS + 1, seed, budget, begin if warm else None)
                cells[title][name].append([cost(best), cost(best, held)])
                curves[title][name].append(curve)
            print(title, seed, {k: [round(v, 4) for v in r[-1]] for k, r in cells[title].items()}, flush=True)
    for title in setups:
        middle = {name: np.median(each, axis=0)[passes(budget) - 1].tolist() for name, each in curves[title].items()}
        found[title] = compared(cells[title]) | {"curves": middle}
    return found


def passes(budget: int) -> np.ndarray:
    """Return the numbers of passes at which a curve is kept."""
    return np.unique(np.geomspace(1, budget, 40).round().astype(int))


def compared(rows: dict[str, list[list[float]]], controls: Sequence[str] = ("logistic", "random")) -> dict[str, Any]:
    """Return medians of what was (fitted, held out), mean ranks, Friedman's p of the held-out column, and Holm's of
    each against every one of ``controls`` (Wilcoxon, paired by seed)."""
    held = {name: np.array(values)[:, 1] for name, values in rows.items()}
    names = list(rows)
    ranks = rankdata(np.array(list(held.values())), axis=0).mean(1)

    def against(other: str) -> dict[str, float]:
        rest = [name for name in names if name != other]
        return dict(zip(rest, holm([_paired(held[name], held[other]) for name in rest]), strict=True))

    return {
        "fitted": {name: float(np.median(np.array(values)[:, 0])) for name, values in rows.items()},
        "held_out": {name: float(np.median(values)) for name, values in held.items()},
        "each": {name: values.tolist() for name, values in held.items()},
        "rank": dict(zip(names, ranks.tolist(), strict=True)),
        "friedman": float(friedmanchisquare(*held.values()).pvalue),
        "against": {control: against(control) for control in controls},
    }


def _paired(a: Floats, b: Floats) -> float:
    return 1.0 if np.array_equal(a, b) else float(wilcoxon(a, b).pvalue)


# -- 3. all weights of a small network --------------------------------------------------------------------------------

WHOLE = ("random", "cmaes", "de", "pso", "gwo", "woa")
GRADIENT = 3  # passes forward that one pass forward and back takes
SUBSPACE = 32


class Small(nn.Sequential):
    """A network of the paper's kind, small enough for a covariance matrix of all its weights."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(4)),
            *(nn.Flatten(), nn.Linear(6 * 4, 2)),
        )


def started(seed: int) -> Small:
    """Return the network with He-normal weights, zero biases."""
    generator, network = torch.Generator().manual_seed(seed), Small()
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return network


def spread(network: Small) -> torch.Tensor:
    """Return (D,) the standard deviation that each weight was drawn with (a bias as its layer's weights)."""
    each = [
        torch.full((p.numel(),), (2 / layer.weight[0].numel()) ** 0.5)
        for layer in network
        if isinstance(layer, (nn.Conv2d, nn.Linear))
        for p in (layer.weight, layer.bias)
    ]
    return torch.cat(each)


Films = tuple[torch.Tensor, torch.Tensor]  # (N, 1, 32, 32), (N,)


def loss_of(network: nn.Module, films: Films) -> float:
    """Return the mean cross-entropy."""
    with torch.inference_mode():
        return float(F.cross_entropy(network(films[0]), films[1]))


def sgd(network: Small, films: Films, epochs: int, seed: int) -> Small:
    """Return a copy trained by SGD: batches of 16, rate 0.03 down to 0 along half a cosine, momentum 0.9."""
    network, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs, 1))
    for _ in range(epochs):
        for batch in torch.randperm(len(films[1]), generator=generator).split(16):
            optimizer.zero_grad()
            F.cross_entropy(network(films[0][batch]), films[1][batch]).backward()
            optimizer.step()
        falling.step()
    return network


def searched(name: str, network: Small, films: Films, budget: int, seed: int, dimensions: int) -> Small:
    """Return a copy whose weights an algorithm chose among ``budget``: all of them within ± 2 deviations, or (with
    ``dimensions``) the start plus a random subspace (Li et al. 2018, arXiv 1804.08838)."""
    network, deviation = copy.deepcopy(network), spread(network)
    begin = nn.utils.parameters_to_vector(network.parameters()).detach()
    generator = torch.Generator().manual_seed(seed)
    axes = (
        torch.randn(len(begin), dimensions, generator=generator) * deviation[:, None] * (2 / dimensions**0.5)
        if dimensions
        else None
    )

    def put(point: Floats) -> None:
        z = torch.from_numpy(point).float()
        weights = 2 * deviation * z if axes is None else begin + axes @ z
        nn.utils.vector_to_parameters(weights, network.parameters())

    def cost(point: Floats) -> float:
        put(point)
        return loss_of(network, films)

    put(minimise(name, cost, dimensions or len(begin), seed, budget)[0])
    return network


def network(seeds: int = 8, budget: int = 300, count: int = 240) -> dict[str, Any]:
    """Search alone, SGD alone, and search for half the budget then SGD, in passes of the training films."""
    films, (rows,) = ingest(load(f"demo:{count}"), [Preprocess(size=32)])
    found: dict[str, Any] = {"seeds": seeds, "budget": budget, "films": count, "weights": len(spread(Small()))}
    for title, dimensions in (("all weights", 0), (f"a random subspace of {SUBSPACE}", SUBSPACE)):
        cells: dict[str, list[list[float]]] = {}
        for seed in range(seeds):
            parted = split(films, "grouped", seed)
            fitted, held = (_tensors(rows, parted, part) for part in (("train", "val"), ("test",)))
            begin = started(seed)
            ends = {
                "sgd": sgd(begin, fitted, budget // GRADIENT, seed),
                "sgd, half": sgd(begin, fitted, budget // 2 // GRADIENT, seed),  # as much as it gets after a search
            }
            for name in WHOLE:
                ends[name] = searched(name, begin, fitted, budget, seed, dimensions)
                half = searched(name, begin, fitted, budget // 2, seed, dimensions)
                ends[f"{name}, then sgd"] = sgd(half, fitted, budget // 2 // GRADIENT, seed)
            for name, end in ends.items():
                cells.setdefault(name, []).append([loss_of(end, fitted), 1 - _area(end, held)])
            print(title, seed, {k: [round(v, 3) for v in r[-1]] for k, r in cells.items()}, flush=True)
        found[title] = compared(cells, ("sgd", "sgd, half"))
    return found


def _tensors(rows: Any, films: Any, parts: Sequence[str]) -> Films:
    chosen = films.where(*parts)
    x = torch.from_numpy(rows[chosen]).float()[:, None]
    x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1)
    return x, torch.from_numpy(films.labels[chosen])


def _area(network: nn.Module, films: Films) -> float:
    with torch.inference_mode():
        odds = network(films[0]).double()
    return auc_interval(films[1].numpy() == 1, (odds[:, 1] - odds[:, 0]).numpy()).value


# -- tables and figure -------------------------------------------------------------------------------------------------


def tables(name: str, found: dict[str, Any]) -> str:
    """Return what was found as Markdown."""
    if name == "functions":
        columns = list(next(iter(found["median"].values())))
        lines = ["| function | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
        lines += [
            f"| {title} | " + " | ".join(f"{row[c]:.2g}" for c in columns) + " |"
            for title, row in found["median"].items()
        ]
        return "\n".join(lines)
    return "\n\n".join(_table(title, part) for title, part in found.items() if isinstance(part, dict))


def _table(title: str, part: dict[str, Any]) -> str:
    columns = [f"p against {control}" for control in part["against"]]
    head = " | ".join([title, "fitted", "held out", "mean rank", *columns])
    lines = [f"| {head} |", "|---" * (4 + len(columns)) + "|"]
    for name in sorted(part["rank"], key=part["rank"].__getitem__):
        p = [f"{found[name]:.3f}" if name in found else "" for found in part["against"].values()]
        numbers = [f"{part['fitted'][name]:.4f}", f"{part['held_out'][name]:.4f}", f"{part['rank'][name]:.1f}"]
        lines.append("| " + " | ".join([name, *numbers, *p]) + " |")
    return "\n".join([*lines, "", f"Friedman p = {part['friedman']:.2g}."])


def figure() -> None:
    """Draw docs/evidence/metaheuristics.svg: the median best cost of the heads so far, a panel a target and start."""
    from plainfilm.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, WIDE, save, styled

    found = read_json(HERE / "metaheuristics-head.json")
    titles = [title for title, part in found.items() if isinstance(part, dict)]
    colours = dict(zip(HEADS, (GREY, BLUE, GREEN, ORANGE, VERMILLION, PURPLE, SKY, BLACK), strict=True))

    @styled
    def drawn() -> Figure:
        page = Figure(figsize=(WIDE, 3.3), layout="constrained")
        for axes, title in zip(page.subplots(1, 3, sharex=True), titles, strict=True):
            for name, curve in found[title]["curves"].items():
                axes.plot(passes(found["budget"]), curve, color=colours[name], lw=1.4, label=name)
            axes.axhline(found[title]["fitted"]["logistic"], color="black", ls="--", lw=1, label="logistic")
            what, _, where = title.rpartition(", ")
            axes.set_title(f"{'1 - specificity' if what.startswith('spec') else 'cost a film'}\n{where}", loc="left")
            axes.set(xscale="log", xlabel="passes of the fitted films")
            axes.set_xticks([1, 10, 100], ["1", "10", "100"])
            axes.set_xticks([], minor=True)
            axes.grid()
        page.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return page

    save(drawn(), HERE.parent / "docs" / "evidence", "metaheuristics")


def main(words: Sequence[str]) -> None:
    """Run one of the experiments, write its JSON and print its tables."""
    torch.set_num_threads(1)
    if words[0] == "figure":
        figure()
        return
    began, cpu = time.perf_counter(), time.process_time()
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "functions": functions,
        "head": lambda: head(Path(words[1])),
        "network": network,
    }
    found = work[words[0]]()
    found |= {"date": str(datetime.date.today()), "cpu_seconds": round(time.process_time() - cpu)}
    write_json(HERE / f"metaheuristics-{words[0]}.json", found)
    print(tables(words[0], found))
    print(f"\n{time.perf_counter() - began:.0f} s, of which computing {found['cpu_seconds']} s")


if __name__ == "__main__":
    main(sys.argv[1:])
