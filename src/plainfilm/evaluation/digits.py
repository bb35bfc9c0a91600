"""Probabilities as text: as few digits as still show on which side of a threshold, or of a band's ends, they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FEWEST, MOST = 3, 12  # digits behind the point


def shown(p: float, edges: Iterable[float] = ()) -> str:
    """Return a film's probability ``p`` (0..1) as text that differs from that of every edge (0..1) that it is not.

    It never shows a certainty that no network has: "> 0.999" and "< 0.001", with more digits where an edge lies beyond.
    """
    between = [edge for edge in edges if 0 < edge < 1]
    return next((text for d in range(FEWEST, MOST) if (text := _told(p, between, d))), _rounded(p, MOST))


def edge(value: float) -> str:
    """Return a threshold, or the end of a band, with three digits that count: 0.552, 0.0123, 0.99987."""
    if value in (0.0, 1.0):
        return f"{value:g}"
    rest = min(value, 1 - value)
    return next((f"{value:.{d}f}" for d in range(FEWEST, MOST) if rest * 10**d >= 100), f"{value:.{MOST}f}")


def beside(p: float, edges: Sequence[float]) -> tuple[str, list[str]]:
    """Return a film's probability and the edges as they stand in one sentence: of as many digits, each told from all
    others that it is not; of the fewest, where the probability is "> 0.999" or "< 0.001" and no edge is near."""
    if (told := shown(p, edges))[0] in "<>":
        return told, [edge(value) for value in edges]
    d = next((d for d in range(FEWEST, MOST) if _apart([p, *edges, 0.0, 1.0], d)), MOST)
    return _rounded(p, d), [f"{value:g}" if value in (0.0, 1.0) else f"{value:.{d}f}" for value in edges]


def _apart(values: Sequence[float], d: int) -> bool:
    kept = {value for value in values if value not in (0.0, 1.0)} | {0.0, 1.0}
    return len({f"{value:.{d}f}" for value in kept}) == len(kept)


def _told(p: float, edges: Sequence[float], d: int) -> str:
    """Return ``p`` with ``d`` digits; empty where they are too few."""
    text, step = _rounded(p, d), 10.0**-d
    if text[0] == ">":
        return text if all(value <= 1 - step or value == p for value in edges) else ""
    if text[0] == "<":
        return text if all(value >= step or value == p for value in edges) else ""
    return text if all(f"{value:.{d}f}" != text or value == p for value in edges) else ""


def _rounded(p: float, d: int) -> str:
    text = f"{p:.{d}f}"
    if float(text) == 1:
        return f"> 0.{'9' * d}"
    return f"< {10.0**-d:.{d}f}" if float(text) == 0 else text
