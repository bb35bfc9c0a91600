"""Many L2-penalised logistic regressions on the same films at once, by Newton's method.

The problems differ in C and in the films they are fitted to: the folds of a grid search, for every value of C. They
share the films' coordinates A (N, R), so one pass over A serves them all, with products of matrices where a solver
that takes one problem after the other has products with vectors. A Newton step is found by conjugate gradients, which
need A only block by block (Newton-CG: Nocedal & Wright 2006, chapter 7; Lin, Weng & Keerthi 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp, softmax

from plainfilm.errors import PlainfilmError

Floats = NDArray[np.float64]
Blocks = Callable[[], Iterable[tuple[slice, Floats]]]  # a pass over A: rows and their (B, ≤ R); what is left out is 0

NOTHING = 1e-24  # of the objective at weights of 0: a fall so small is rounding, as where the optimum is 0
TOLERANCE = 1e-8  # of the gradient's size against the weights', both measured by the curvature
STEPS = 100  # 10 to 25 are usual
PRODUCTS = 1_000  # most of a Newton step


@dataclass(frozen=True)
class Problems:
    """P problems: minimise C · sum of the chosen films' log losses + |weights|² / 2, the intercept unpenalised.

    One class column for two classes, with logit w·x + b, K for more (multinomial): scikit-learn's parametrisation.
    """

    blocks: Blocks
    width: int  # R
    truth: Floats  # (N, k) 1 where a film is of the class
    taken: Floats  # (N, P) 1 where a film is fitted to, 0 where it isn't
    strengths: Floats  # (P,) C

    def only(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Problems:
        """Return some of the problems."""
        return replace(self, taken=self.taken[:, which], strengths=self.strengths[which])

    @property
    def penalty(self) -> Floats:
        """1 for each weight, 0 for the intercept, which stands last: (R + 1, 1, 1)."""
        return np.append(np.ones(self.width), 0.0)[:, None, None]

    def across(self, weights: Floats, change: Callable[[slice, Floats], Floats]) -> tuple[Floats, Floats]:
        """Return the logits Z = A weights (N, P, k) and C · Aᵀ change(rows, Z of the rows), in one pass over A."""
        _, p, k = weights.shape
        logits, back = np.empty((len(self.truth), p, k)), np.zeros_like(weights)
        for rows, block in self.blocks():
            wide = block.shape[1]
            logits[rows] = (block @ weights[:wide].reshape(wide, p * k)).reshape(-1, p, k) + weights[-1]
            changed = change(rows, logits[rows])
            back[:wide] += (block.T @ changed.reshape(-1, p * k)).reshape(wide, p, k)
            back[-1] += changed.sum(0)
        return logits, self.strengths[:, None] * back

    def gradient(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the logits (N, P, k) and the gradient (R + 1, P, k) at ``weights`` (R + 1, P, k)."""

        def residual(rows: slice, logits: Floats) -> Floats:
            return np.asarray(self.taken[rows, :, None] * (chances(logits) - self.truth[rows, None]))

        logits, back = self.across(weights, residual)
        return logits, self.penalty * weights + back

    def curvature(self, logits: Floats, squares: Floats) -> Floats:
        """Return about the diagonal of the Hessian (R + 1, P, 1), for coordinates of the mean ``squares`` (R + 1,)."""
        p = chances(logits)
        doubt = (self.taken * (p * (1 - p)).mean(2)).sum(0)  # (P,)
        return np.asarray(self.penalty + (squares[:, None] * (self.strengths * doubt))[..., None])

    def step(self, logits: Floats, gradient: Floats, curvature: Floats, rest: Floats) -> tuple[Floats, Floats]:
        """Return Newton's step (R + 1, P, k), found up to the shares ``rest`` (P,) of the gradient, and A · step."""
        p = chances(logits)

        def bend(rows: slice, z: Floats) -> Floats:
            return np.asarray(self.taken[rows, :, None] * p[rows] * (z - (p[rows] * z).sum(2, keepdims=True)))

        step, step_logits = np.zeros_like(gradient), np.zeros_like(logits)
        residual = -gradient
        towards = residual / curvature
        size = _inner(residual, towards)
        enough = rest**2 * size
        for _ in range(PRODUCTS):
            ahead, back = self.across(towards, bend)
            bent = self.penalty * towards + back
            far = np.where(size > enough, size / _inner(towards, bent), 0.0)[:, None]  # one that is solved stands still
            step, step_logits, residual = step + far * towards, step_logits + far * ahead, residual - far * bent
            before, size = size, _inner(residual, residual / curvature)
            if (size <= enough).all():
                break
            towards = residual / curvature + (size / before)[:, None] * towards
        return step, step_logits

    def stride(self, weights: Floats, logits: Floats, step: Floats, step_logits: Floats, slope: Floats) -> Floats:
        """Return how much of the step to go (P,): all, or so often halved that the objective falls (Armijo)."""

        def objective(share: Floats) -> Floats:
            here, z = weights + share[:, None] * step, logits + share[:, None] * step_logits
            losses = (self.taken * _losses(z, self.truth)).sum(0)
            return np.asarray(_inner(self.penalty * here, here) / 2 + self.strengths * losses)

        share = np.ones(len(slope))
        start = objective(0 * share)
        for _ in range(40):
            high = objective(share) > start + 1e-4 * share * slope + 1e-12 * start
            if not high.any():
                break
            share = np.where(high, share / 2, share)
        return share


@dataclass(frozen=True)
class Solution:
    """The optimum of each problem."""

    weights: Floats  # (R + 1, P, k), the intercept last
    logits: Floats  # (N, P, k), of all films, those not fitted to included
    steps: NDArray[np.intp]  # (P,) Newton steps


def solve(problems: Problems, unsolved: bool = False) -> Solution:
    """Solve all problems to TOLERANCE, from weights of 0; PlainfilmError when one is not solved in STEPS steps, unless
    an ``unsolved`` one may be left where it has come to."""
    n, p, k = len(problems.truth), len(problems.strengths), problems.truth.shape[1]
    weights, logits = np.zeros((problems.width + 1, p, k)), np.zeros((n, p, k))
    steps, left, squares = np.zeros(p, dtype=np.intp), np.arange(p), _mean_squares(problems)
    for _ in range(STEPS):
        some = problems.only(left)
        logits[:, left], gradient = some.gradient(weights[:, left])
        curvature = some.curvature(logits[:, left], squares)
        off = _off(weights[:, left], gradient, curvature, NOTHING * some.strengths * some.taken.sum(0))
        far = off > TOLERANCE
        if not far.any():
            return Solution(weights, logits, steps)
        left, some, gradient, curvature = left[far], some.only(far), gradient[:, far], curvature[:, far]
        step, step_logits = some.step(logits[:, left], gradient, curvature, np.minimum(0.25, np.sqrt(off[far])))
        share = some.stride(weights[:, left], logits[:, left], step, step_logits, _inner(gradient, step))
        weights[:, left] += share[:, None] * step
        steps[left] += 1
    if unsolved:
        return Solution(weights, logits, steps)
    raise PlainfilmError(
        f"The logistic regression did not converge in {STEPS} steps for C = {problems.strengths[left].max():g};"
        " leave out the largest values of C (regularisation)."
    )


def chances(logits: Floats) -> Floats:
    """Return the probabilities (…, k) of logits (…, k); a single column is of the second of two classes."""
    return np.asarray(expit(logits) if logits.shape[-1] == 1 else softmax(logits, -1))


def _losses(logits: Floats, truth: Floats) -> Floats:
    """Return the log losses (N, P) of logits (N, P, k)."""
    whole = np.logaddexp(0, logits[..., 0]) if logits.shape[-1] == 1 else logsumexp(logits, -1)
    return np.asarray(whole - np.einsum("npk,nk->np", logits, truth))


def _mean_squares(problems: Problems) -> Floats:
    """Return the mean square of each coordinate, and 1 for the intercept's: (R + 1,)."""
    total = np.zeros(problems.width)
    for _, block in problems.blocks():
        total[: block.shape[1]] += np.einsum("ij,ij->j", block, block)
    return np.append(total / len(problems.truth), 1.0)


def _off(weights: Floats, gradient: Floats, curvature: Floats, nothing: Floats) -> Floats:
    """Return how far from the optimum (P,), 0 to 1: the step that the curvature alone would take, against the weights,
    both measured by the curvature; 0 where it would make the objective fall by ``nothing`` (P,) at most."""
    missing, there = _inner(gradient, gradient / curvature), _inner(weights, curvature * weights)
    share = np.sqrt(missing / np.maximum(missing + there, np.finfo(float).tiny))
    return np.where(missing > nothing, share, 0.0)


def _inner(a: Floats, b: Floats) -> Floats:
    """Return the inner product of each problem: (P,)."""
    return np.asarray(np.einsum("rpk,rpk->p", a, b))
