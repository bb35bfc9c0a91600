"""Several findings per film: their rule of decision, and predictions of them.

Each finding is a question of yes or no about the films of which its answer is known, so that all that is written for
two classes holds for it: ``FindingsPredictions.of`` gives these films as ``Predictions``. A cell that nobody knows is
never negative: its film is not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainfilm.data import words
from plainfilm.data.films import CELLS, FINDING, UNKNOWN, Films
from plainfilm.data.findings import no
from plainfilm.data.roles import candidates
from plainfilm.errors import InputError, did_you_mean
from plainfilm.evaluation.decision import FLOOR, Bools, Decision, Floats
from plainfilm.evaluation.pairs import pairs
from plainfilm.evaluation.predictions import Predictions
from plainfilm.evaluation.scales import as_probabilities
from plainfilm.storage.tables import read_csv, read_table, write_csv

Cells = NDArray[np.int8]

FEWEST = 2  # known films of either answer, below which a finding is not scored
CUT = "threshold_"  # how the column of a finding's own thresholds begins in predictions.csv
NONE = "none"  # the label of a film with no finding


@dataclass(frozen=True)
class FindingsDecision:
    """How the F logits of a film become its findings: for each a sigmoid, a temperature, a threshold and a refer band.

    ``each``: one rule per finding, of the classes "no NAME" and NAME.
    """

    each: tuple[Decision, ...]

    two = False  # there is not one threshold, as in ``Decision``
    threshold = 0.5
    temperature = 1.0
    refer = None
    rule = "each finding by its own threshold"
    offsets: tuple[float, ...] = ()

    @classmethod
    def of_names(cls, names: Sequence[str]) -> FindingsDecision:
        """Return the rule before anything was chosen: every finding from 0.5 on."""
        return cls(tuple(Decision((no(name), name), name) for name in names))

    @classmethod
    def read(cls, names: Sequence[str], about: Mapping[str, Any]) -> FindingsDecision:
        """Return the rule that a model file or model.json holds; KeyError, TypeError or ValueError where it is none."""
        rules = about["findings"]
        if len(rules) != len(names):
            raise ValueError(f"it has rules for {len(rules)} findings of {len(names)}")
        return cls(tuple(Decision.read((no(name), name), rule) for name, rule in zip(names, rules, strict=True)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The F findings, in the order of the probabilities' columns."""
        return tuple(rule.positive for rule in self.each)

    @property
    def positive(self) -> str:
        """The finding that is shown where there is room for one."""
        return self.each[0].positive

    @property
    def column(self) -> int:
        """Where that finding stands."""
        return 0

    @property
    def thresholds(self) -> Floats:
        """(F,) probability from which on each finding is called; (N, F) where films have their own."""
        return np.stack(np.broadcast_arrays(*(np.asarray(rule.threshold, np.float64) for rule in self.each)), axis=-1)

    @property
    def own_thresholds(self) -> bool:
        """Whether each film has thresholds of its own."""
        return any(rule.own_thresholds for rule in self.each)

    @property
    def about(self) -> dict[str, Any]:
        """What a model file holds of it."""
        rules = [{**rule.about, "threshold_rule": rule.rule, "offsets": list(rule.offsets)} for rule in self.each]
        whole = {"positive": self.positive, "threshold": 0.5, "temperature": 1.0, "refer": None}  # each has its own
        return {"findings": rules, **whole}

    @property
    def cooled(self) -> FindingsDecision:
        """The rule at temperature 1 throughout."""
        return FindingsDecision(tuple(rule.cooled for rule in self.each))

    @property
    def operating(self) -> dict[str, Any]:
        """What was chosen on films, by finding: see ``Decision.operating``."""
        return {"findings": {rule.positive: rule.operating for rule in self.each}}

    def take(self, rows: NDArray[np.int64]) -> FindingsDecision:
        """Return the rule for the films at ``rows`` alone."""
        return FindingsDecision(tuple(rule.take(rows) for rule in self.each)) if self.own_thresholds else self

    def chances(self, logits: Any) -> Any:
        """Return (B, F) probabilities of a tensor of (B, F) logits."""
        return (logits / logits.new_tensor([rule.temperature for rule in self.each])).sigmoid()

    def called(self, probabilities: Floats) -> Bools:
        """Return (N, F) whether each film of (N, F) probabilities has each finding."""
        return np.asarray(probabilities >= self.thresholds)

    def decide(self, probabilities: Floats) -> NDArray[np.int64]:
        """Return (N,) the finding that lies farthest above its threshold, or least below, in log-odds."""
        from scipy.special import logit

        beyond = logit(np.clip(probabilities, FLOOR, 1 - FLOOR)) - logit(np.clip(self.thresholds, FLOOR, 1 - FLOOR))
        return np.asarray(beyond.argmax(axis=1), dtype=np.int64)

    def evidence(self, logits: Any, chosen: Any) -> Any:
        """Return (B,) log-odds of finding ``chosen`` (B, 1), tensors of (B, F) logits: no finding speaks against
        another."""
        return logits.gather(1, chosen)[:, 0]

    def targets(self, probabilities: Floats) -> list[int]:
        """Return which findings of a film of (F,) probabilities are to be explained: those called, else the nearest."""
        called = np.flatnonzero(self.called(probabilities[None])[0])
        return called.tolist() or self.decide(probabilities[None]).tolist()

    def gives(self, probabilities: Floats, k: int) -> bool:
        """Return whether finding ``k`` is called for the film of (F,) probabilities."""
        return bool(self.called(probabilities[None])[0, k])

    def label(self, probabilities: Floats) -> str:
        """Return the findings of a film of (F,) probabilities, with semicolons between them; "none" without any."""
        found = [name for name, yes in zip(self.classes, self.called(probabilities), strict=True) if yes]
        return "; ".join(found) or NONE

    def score(self, probabilities: Floats) -> Floats:
        """Return (N,) the largest of each film's probabilities."""
        return np.asarray(probabilities.max(axis=1))

    def refers(self, probabilities: Floats) -> Bools:
        """Return (N,) whether a film is in the refer band of any finding."""
        return np.asarray(self.refers_each(probabilities).any(axis=1))

    def refers_each(self, probabilities: Floats) -> Bools:
        """Return (N, F) whether each film of (N, F) probabilities is in the refer band of each finding."""
        return np.stack([rule.refers(both(p)) for rule, p in zip(self.each, probabilities.T, strict=True)], axis=1)

    def moved(self, logits: Floats, others: Floats) -> Floats:
        """Return (N,) by how much at most (N, F) ``others`` change any of a film's ``logits``."""
        return np.asarray(np.abs(others - logits).max(axis=1))

    def near(self, probabilities: Floats, margin: float) -> Bools:
        """Return (N,) whether any finding of a film, or its referral, may change: see ``Decision.near``."""
        each = [rule.near(both(p), margin) for rule, p in zip(self.each, probabilities.T, strict=True)]
        return np.asarray(np.any(each, axis=0))

    def told(self, probabilities: Floats, k: int) -> str:
        """Return the probability of finding ``k``, of a film's (F,), with the digits that its rule asks for."""
        return self.each[k].told(both(probabilities[k : k + 1])[0], 1)

    def weighed(self, probabilities: Floats, k: int) -> str:
        """Return the probability of finding ``k``, of a film's (F,), and on which side of its threshold it lies."""
        rule, p = self.each[k], both(probabilities[k : k + 1])
        return rule.weighed(p[0], int(rule.decide(p)[0]))

    @property
    def decided_by(self) -> str:
        """Whose probability stands beside a label: that of each finding has a name of its own."""
        return ""

    def reason(self, probabilities: Floats) -> str | None:
        """Return why the film of (F,) probabilities goes to a reader, by finding; None where it does not."""
        reasons = [rule.reason(both(p[None])[0]) for rule, p in zip(self.each, probabilities, strict=True)]
        return "; ".join(reason for reason in reasons if reason) or None


def both(chance: Floats) -> Floats:
    """Return (N, 2) probabilities of no and yes from (N,) of yes."""
    return np.stack([1 - chance, chance], axis=1)


@dataclass(frozen=True, eq=False)
class FindingsPredictions:
    """What a model said about the findings of N films, and what is known of them.

    paths: N names; parts: (N,); truth: (N, F) int8, 1, 0, or below 0 where nobody knows; chances: (N, F) in 0..1;
    patients: (N,), the film's own path where unknown; folds: (N,) which model's scores these are, where several scored
    the films.
    """

    paths: list[str]
    parts: NDArray[np.str_]
    truth: Cells
    chances: Floats
    decision: FindingsDecision
    patients: NDArray[np.str_]
    folds: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @staticmethod
    def of_films(films: Films, chances: Floats, decision: FindingsDecision) -> FindingsPredictions:
        """Return the table of ``films`` with their (N, F) probabilities; a film without a part counts as test."""
        table = films.films
        return FindingsPredictions(
            [film.path for film in table],
            np.array([film.part or "test" for film in table], dtype=np.str_),
            films.truth,
            chances,
            decision,
            np.array([film.group for film in table], dtype=np.str_),
        )

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the F findings."""
        return self.decision.classes

    def take(self, rows: NDArray[np.int64] | Bools) -> FindingsPredictions:
        """Return the films at ``rows``: indices, or a mask."""
        rows = np.arange(len(self))[rows]
        paths = [self.paths[i] for i in rows]
        folds = None if self.folds is None else self.folds[rows]
        decision, rest = self.decision.take(rows), (self.patients[rows], folds)
        return FindingsPredictions(paths, self.parts[rows], self.truth[rows], self.chances[rows], decision, *rest)

    def part(self, name: str) -> FindingsPredictions:
        """Return the films of one part; InputError when there are none."""
        chosen = self.parts == name
        if not chosen.any():
            raise InputError(f"No film belongs to the part '{name}'.{did_you_mean(name, sorted(set(self.parts)))}")
        return self.take(chosen)

    def of(self, finding: str) -> Predictions:
        """Return the films of which ``finding`` is known, as a question of yes or no."""
        k = self.findings.index(finding)
        known = np.flatnonzero(self.truth[:, k] >= 0)
        return Predictions(
            [self.paths[i] for i in known],
            self.parts[known],
            self.truth[known, k].astype(np.int64),
            both(self.chances[known, k]),
            self.decision.each[k].take(known),
            self.patients[known],
            None if self.folds is None else self.folds[known],
        )

    @property
    def scored_part(self) -> Literal["test", "val"]:
        """The part whose scores count: test where there is one, else val."""
        return "test" if (self.parts == "test").any() else "val"


def write_findings(path: str | Path, p: FindingsPredictions) -> None:
    """Write ``path,part,y_<finding>…,p_<finding>…``, then ``patient`` where any is known, ``scored_by`` and
    ``threshold_<finding>…`` where several models scored the films; ``y_`` is empty where nobody knows."""
    last: dict[str, list[Any]] = {"patient": p.patients.tolist()} if p.patients.tolist() != p.paths else {}
    last |= {} if p.folds is None else {"scored_by": p.folds.tolist()}
    if p.decision.own_thresholds:
        last |= dict(zip((CUT + name for name in p.findings), p.decision.thresholds.T.tolist(), strict=True))
    header = ["path", "part", *(FINDING + name for name in p.findings), *(f"p_{name}" for name in p.findings), *last]
    cells = [[CELLS[value] if value >= 0 else "" for value in row] for row in p.truth.tolist()]
    rows = zip(p.paths, p.parts.tolist(), cells, p.chances.tolist(), *last.values(), strict=True)
    write_csv(path, header, ([film, part, *known, *chance, *rest] for film, part, known, chance, *rest in rows))


def rule_of(classes: tuple[str, ...], about: Mapping[str, Any]) -> Decision | FindingsDecision:
    """Return the rule that a model file, an export or model.json holds, of whichever kind it is."""
    return FindingsDecision.read(classes, about) if about.get("findings") else Decision.read(classes, about)


def thresholds_of(decision: Decision | FindingsDecision) -> dict[str, float] | None:
    """Return {finding: threshold} of a rule of findings; None of one of classes."""
    if not isinstance(decision, FindingsDecision):
        return None
    return dict(zip(decision.classes, decision.thresholds.tolist(), strict=True))


def of_classes(decision: Decision | FindingsDecision, doing: str) -> Decision:
    """Return the rule of a model that tells classes apart; InputError for one of findings, which ``doing`` can't do."""
    if isinstance(decision, FindingsDecision):
        names = ", ".join(decision.classes)
        raise InputError(
            f"{doing} takes one question at a time, and this model finds {names}; train one: --findings NAME."
        )
    return decision


def holds_findings(path: str | Path) -> bool:
    """Return whether a table is one of predictions of findings: a column p_NAME beside a column y_NAME, or several such
    pairs in another program's words and no column of labels."""
    header, rows = read_table(path)
    if any(name.startswith(FINDING) and f"p_{name.removeprefix(FINDING)}" in header for name in header):
        return True
    return not candidates("label", header) and len(pairs(header, [row for _, row in rows])) > 1


def read_findings(path: str | Path, about: Mapping[str, Any] | None = None) -> FindingsPredictions:
    """Return the predictions in a table ``path,part,y_<finding>…,p_<finding>…`` of any dialect.

    ``about``: the model.json of whoever made them, for thresholds; a film's own, in ``threshold_<finding>``, go before
    them. Empty, uncertain and unreadable truths are unknown, never negative. Of another program's table the pairs of
    columns are found by ``pairs``, and its scores may be logits or per cent. InputError for cells that are no
    truth, and for probabilities outside 0..1.
    """
    theirs, rows = read_csv(path)
    header, rows = _in_our_words(theirs, rows)
    names = [n.removeprefix(FINDING) for n in header if n.startswith(FINDING) and "p_" + n[len(FINDING) :] in header]
    if not names or not rows:
        raise InputError(f"{path} has no rows, or no column p_NAME beside a column y_NAME.")
    truth = np.array([[_cell(path, row[FINDING + name]) for name in names] for row in rows], dtype=np.int8)
    chances = np.array([[words.number(row[f"p_{name}"]) for name in names] for row in rows])
    if header != theirs and np.isfinite(chances).all():
        chances = np.column_stack([as_probabilities(column)[0] for column in chances.T])
    wrong = np.flatnonzero(~((chances >= 0) & (chances <= 1)).all(axis=1))
    if wrong.size:
        raise InputError(f"{path}: {wrong.size} rows have a probability outside 0..1 (first: row {wrong[0] + 2}).")
    decision = FindingsDecision.read(names, about) if about else FindingsDecision.of_names(names)
    if CUT + names[0] in header:
        own = (np.array([words.number(row.get(CUT + name, "")) for row in rows]) for name in names)
        decision = FindingsDecision(tuple(map(partial(_cut_at, path), decision.each, own)))
    paths = [row.get("path") or f"row {number}" for number, row in enumerate(rows, 2)]
    return FindingsPredictions(
        paths,
        np.array([words.part(row.get("part", "")) or "test" for row in rows], dtype=np.str_),
        truth,
        chances,
        decision,
        np.array([words.patient(row.get("patient", "")) or path for row, path in zip(rows, paths, strict=True)]),
        np.array([row["scored_by"] for row in rows], dtype=np.str_) if "scored_by" in header else None,
    )


def _in_our_words(header: list[str], rows: list[dict[str, str]]) -> tuple[list[str], list[dict[str, str]]]:
    """Return another program's table of findings as ``path,part,patient,y_<finding>…,p_<finding>…``; ours as it is."""
    if any(name.startswith(FINDING) for name in header):
        return header, rows
    ours = {column: role for role in ("path", "patient", "part") for column in candidates(role, header)[:1]}
    for name, (truth, score) in pairs(header, rows).items():
        ours |= {truth: FINDING + name, score: f"p_{name}"}
    renamed = [{ours.get(column, column): cell for column, cell in row.items()} for row in rows]
    return [ours.get(column, column) for column in header], renamed


def _cut_at(path: str | Path, rule: Decision, thresholds: Floats) -> Decision:
    try:
        return replace(rule, threshold=thresholds)
    except ValueError:
        column = CUT + rule.positive
        raise InputError(f"{path}: the column {column} holds what is no number between 0 and 1.") from None


def _cell(path: str | Path, text: str) -> int:
    known = words.label(text)
    if known not in ("1", "0", "-1", ""):
        raise InputError(f"{path}: a truth is '{text}'; it must be 1, 0, -1 (uncertain) or empty (unknown).")
    return int(known) if known in ("1", "0") else UNKNOWN


def too_few(films: Predictions) -> str:
    """Return why a finding can't be scored on the films of which it is known; empty where it can."""
    yes = int(films.truth.sum())
    if min(yes, len(films) - yes) >= FEWEST:
        return ""
    return f"{yes} positive and {len(films) - yes} negative films are known; at least {FEWEST} of either are needed"


def cooccurrence(truth: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (F, F) how many films have both findings, and of how many both are known."""
    yes, known = (truth == 1).astype(np.int64), (truth >= 0).astype(np.int64)
    return yes.T @ yes, known.T @ known


def rarest(truth: Cells) -> NDArray[np.int64]:
    """Return (N,) the rarest finding that each film of (N, F) cells has; F where it has none."""
    yes = truth == 1
    order = np.argsort(yes.sum(axis=0), kind="stable")
    return np.where(yes.any(axis=1), yes[:, order].argmax(axis=1), len(order))


def chosen(val: FindingsPredictions, choose: Callable[[Predictions], Decision]) -> FindingsDecision:
    """Return the rule with each finding's part chosen by ``choose`` from the validation films of which it is known.

    A finding with fewer than two known films of either answer keeps 0.5.
    """
    rules = []
    for name, rule in zip(val.findings, val.decision.each, strict=True):
        films = val.of(name)
        kept = replace(rule, threshold=0.5, rule="0.5: too few validation films are known")
        rules.append(kept if too_few(films) else choose(films))
    return FindingsDecision(tuple(rules))


def pooled_findings(tables: Sequence[FindingsPredictions], names: Sequence[str]) -> FindingsPredictions:
    """Return the films of several models' ``tables`` in the order of their paths, each by its own model's thresholds;
    ``names`` of the models say whose scores they are."""
    sizes = [len(table) for table in tables]
    cuts = [
        np.concatenate([np.full(n, t.decision.each[k].threshold) for n, t in zip(sizes, tables, strict=True)])
        for k in range(len(tables[0].findings))
    ]
    rules = tuple(replace(rule, threshold=cut) for rule, cut in zip(tables[0].decision.each, cuts, strict=True))
    together = FindingsPredictions(
        [path for table in tables for path in table.paths],
        np.concatenate([table.parts for table in tables]),
        np.concatenate([table.truth for table in tables]),
        np.concatenate([table.chances for table in tables]),
        FindingsDecision(rules),
        np.concatenate([table.patients for table in tables]),
        np.repeat(np.array(names, dtype=np.str_), sizes),
    )
    return together.take(np.argsort(np.array(together.paths), kind="stable"))
