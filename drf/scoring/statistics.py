"""Is a difference real? One estimate of intervals, over faces and seeds, and what it is over.

All functions take image errors as fractions and return fractions; all draws come from a seed, so a
published interval can be computed again to the last digit.

The error of seed s on face i is taken as a method's NME plus three effects: of the seed, of the
face, and of this seed on this face. An interval over faces alone says nothing of the first: it can
exclude every seed that it was made from. Resampling seeds does not help, since two of them have
three distinct samples. So the two parts are estimated apart and added:

    (1/n) Σ_i w_i x_i  +  (sd / sqrt(S)) T
    w ~ Multinomial(n; 1/n, …, 1/n),  T ~ Student's t with S - 1 degrees of freedom

x_i is the mean over S seeds on face i, sd the sample standard deviation of the seeds' NMEs. The
ends are quantiles over draws of w, which resamples faces, and T, which stands for other seeds. The
second part is Student's interval, exact for normal seeds however few; the sum covers at least as
often as it says, because the effects of a seed on a face are in both parts. For one seed the first
part is all there is: the bootstrap over faces, and `Interval.over` says so.

A method is compared by its own seeds and by no other's: an interval is the same on every page,
whatever else is shown beside it, and one unstable method does not widen those of the others.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

DRAWS = 10_000
_CHUNK = 500  # draws at a time: 500 x 689 indices are 3 MB, all 10,000 would be 55

ESTIMATE = (
    "bootstrap over faces, plus Student's t over seeds with one degree of freedom less than there"
    " are seeds"
)
"""What the intervals are, for captions and exports."""


FACES_AND_SEEDS, FACES, MIXED = "faces and seeds", "faces, 1 seed", "faces (and seeds if several)"


def over(seeds: Collection[int]) -> str:
    """Name what an interval is over, by the number of seeds of each method that is in it."""
    if all(n > 1 for n in seeds):
        return FACES_AND_SEEDS
    return FACES if all(n <= 1 for n in seeds) else MIXED


def over_all(said: Iterable[str]) -> str:
    """Name what several intervals are over, each named by `over`."""
    names = set(said)
    return names.pop() if len(names) == 1 else MIXED


def with_exception(text: str, name: str, header: str) -> str:
    """Return an interval as text, with a word where the header (of `over_all`) does not say what
    it is over (`name`): of several seeds and one."""
    return f"{text} (1 seed)" if header == MIXED and name != FACES_AND_SEEDS else text


def explanation(name: str, seeds: Collection[int]) -> str:
    """Return what stands below a table with intervals. name: of `over_all`; seeds: how many each
    row has."""
    if name == FACES:
        return (
            "95 % intervals are over faces, 1 seed each (bootstrap), so even a significant"
            " difference may be due to one lucky seed."
        )
    said = f"95 % intervals are over {name}: {ESTIMATE}."
    if 2 in seeds:
        said += (
            " Two seeds say little about others: such an interval is wide, and a third seed makes"
            " it narrower."
        )
    return said


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its central interval at `level`.

    seeds: number of seeds of the method, or of the method and the one that it is compared with
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95
    seeds: tuple[int, ...] = (1,)

    @property
    def over(self) -> str:
        """What it is over, as `over`."""
        return over(self.seeds)

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside the interval."""
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Method:
    """The errors of one method: (s, n), a row a seed, on n faces; and the seeds, each once."""

    errors: np.ndarray
    seeds: tuple[int, ...]

    @classmethod
    def of_runs(cls, errors: np.ndarray, seeds: Sequence[int]) -> Method:
        """Return the method of r runs, (r, n) errors; runs of one seed are averaged.

        Runs of one seed tell little of how seeds differ; on a CPU they are often the same to the
        last digit, and counted as two they would halve the spread.
        """
        errors = np.asarray(errors, dtype=np.float64)
        known = sorted(set(seeds))
        if len(known) == len(seeds):
            return cls(errors[np.argsort(seeds, kind="stable")], tuple(known))
        same = np.array([[seed == one for seed in seeds] for one in known])
        return cls(np.stack([errors[of].mean(axis=0) for of in same]), tuple(known))

    @property
    def nmes(self) -> np.ndarray:
        """The NME of each seed, (s,)."""
        return self.errors.mean(axis=1)


def intervals(
    methods: Sequence[Method], *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Return the NMEs of methods on the same n faces with their intervals, as in the module's text.

    No end is below 0, as no error is. Raises ValueError for no face and for values not finite.
    """
    return _not_below_0(_intervals(_own(methods), draws, level, seed))


def differences(
    methods: Sequence[Method],
    baseline: Method,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Return NME(method) - NME(baseline) of methods on the same n faces, with intervals as above.

    Faces keep their pairs: x_i is a difference of errors. Seeds do too where both methods have the
    same ones: sd is that of the differences by seed. Where they have others, each adds a T of its
    own; one with a single seed adds none, which `Interval.over` says. Raises ValueError where the
    faces do not pair up.
    """
    return _intervals(_paired(methods, baseline), draws, level, seed)


def both(
    methods: Sequence[Method],
    baseline: Method,
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[list[Interval], list[Interval]]:
    """Return `intervals` and `differences` of methods on the faces of the baseline, which together
    take little longer than one of them."""
    found = _intervals([*_own(methods), *_paired(methods, baseline)], draws, level, seed)
    return _not_below_0(found[: len(methods)]), found[len(methods) :]


def mean_intervals(
    values: np.ndarray, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Return the means of m rows over n faces and their intervals, over faces alone. (m, n) -> m.

    For values of single runs: errors, differences of errors, whatever is a mean over faces. Each
    draw resamples n faces with replacement; the ends are the (1 -+ level) / 2 quantiles. Raises
    ValueError for no face and for values not finite.
    """
    rows = np.asarray(values, dtype=np.float64)
    return _intervals([_Mean(row, (), (1,)) for row in rows], draws, level, seed)


def share_improved(a: np.ndarray, b: np.ndarray) -> float:
    """Return the share of faces on which a is strictly better than b, 0..1. (n,), (n,) -> float."""
    return float(np.mean(np.asarray(a) < np.asarray(b)))


def paired_p_values(differences: np.ndarray) -> np.ndarray:
    """Return the two-sided p-value of each column's mean being 0: the paired t-test.

    (n, k) differences of errors, a row per face, NaN where a face has none -> (k,); t = mean / (sd
    / sqrt(n)) with n - 1 degrees of freedom, n the rows that are known. NaN for fewer than two, 1
    where all differences are 0.
    """
    known = np.isfinite(differences)
    n = known.sum(axis=0)
    filled = np.where(known, differences, 0.0)
    mean = filled.sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, differences - mean, 0.0) ** 2
    error = np.sqrt(squares.sum(axis=0) / np.maximum(n - 1, 1) / np.maximum(n, 1))
    flat = np.where(mean == 0, 0.0, np.inf)
    t = np.divide(np.abs(mean), error, out=flat, where=error > 0)
    return np.where(n > 1, 2 * stdtr(np.maximum(n - 1, 1), -t), np.nan)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's method. (k,) -> (k,), NaN stays NaN.

    The i-th smallest of k, i = 1..k, becomes max over j <= i of min(1, (k - j + 1) p_j): calling
    those below 0.05 significant errs in any of them with a probability of at most 5 %.
    """
    corrected = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(corrected))
    order = known[np.argsort(corrected[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * corrected[order]))
    return corrected


@dataclass(frozen=True)
class Seeds:
    """mean, sample standard deviation (n - 1; NaN for one seed), extremes of n seeds."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def over_seeds(values: np.ndarray) -> Seeds:
    """Aggregate one score of runs that differ only in their seed. (n,) -> Seeds."""
    values = _vector(values)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    low, high = float(values.min()), float(values.max())
    return Seeds(len(values), float(values.mean()), sd, low, high)


@dataclass(frozen=True)
class _SeedPart:
    """What seeds add to an interval: the standard error of their mean, and its degrees."""

    error: float
    degrees: int


def _seed_parts(errors: np.ndarray) -> list[_SeedPart]:
    """Return the part of (s, n) errors or differences, none for one seed."""
    if len(errors) < 2:
        return []
    nmes = errors.mean(axis=1)
    return [_SeedPart(float(nmes.std(ddof=1)) / len(nmes) ** 0.5, len(nmes) - 1)]


@dataclass(frozen=True)
class _Mean:
    """What an interval is of: the mean of (n,) values over faces, what seeds add to it, and their
    numbers, as in `Interval`."""

    values: np.ndarray
    parts: Sequence[_SeedPart]
    seeds: tuple[int, ...]


def _own(methods: Sequence[Method]) -> list[_Mean]:
    return [
        _Mean(method.errors.mean(axis=0), _seed_parts(method.errors), (len(method.seeds),))
        for method in methods
    ]


def _paired(methods: Sequence[Method], baseline: Method) -> list[_Mean]:
    if any(method.errors.shape[1:] != baseline.errors.shape[1:] for method in methods):
        raise ValueError("errors of different faces cannot be paired")
    base = baseline.errors.mean(axis=0)
    return [
        _Mean(
            method.errors.mean(axis=0) - base,
            _seed_parts(method.errors - baseline.errors)
            if method.seeds == baseline.seeds
            else [*_seed_parts(method.errors), *_seed_parts(baseline.errors)],
            (len(method.seeds), len(baseline.seeds)),
        )
        for method in methods
    ]


def _not_below_0(found: Sequence[Interval]) -> list[Interval]:
    return [Interval(i.estimate, max(i.low, 0.0), i.high, i.level, i.seeds) for i in found]


def _intervals(means: Sequence[_Mean], draws: int, level: float, seed: int) -> list[Interval]:
    """Return the intervals of means over the same faces.

    The same draws serve all of them, as one product of how often each draw has each face with all
    values, so a hundred cost little more than one.
    """
    rows = np.array([mean.values for mean in means], dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0 or not np.isfinite(rows).all():
        raise ValueError("need rows of finite values, at least one in each")
    counts = _counts(rows.shape[1], draws, seed)
    drawn = np.empty((len(rows), draws))
    some = np.empty((_CHUNK, rows.shape[1]))  # one for all: new memory takes longer than a product
    for first in range(0, draws, _CHUNK):
        chunk = some[: min(_CHUNK, draws - first)]
        chunk[:] = counts[first : first + _CHUNK]
        drawn[:, first : first + _CHUNK] = rows @ chunk.T
    drawn /= rows.shape[1]
    for row, mean in zip(drawn, means, strict=True):
        for place, part in enumerate(mean.parts):
            row += part.error * _t_draws(part.degrees, place, draws, seed)
    drawn.sort(axis=1)  # a third of the time that np.quantile takes to find the same
    low, high = (_quantile(drawn, share) for share in ((1 - level) / 2, (1 + level) / 2))
    return [
        Interval(float(estimate), float(start), float(end), level, mean.seeds)
        for estimate, start, end, mean in zip(rows.mean(axis=1), low, high, means, strict=True)
    ]


def _quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """Return the quantile of each row, whose values ascend, as np.quantile does: (m, n) -> (m,)."""
    place = share * (ordered.shape[1] - 1)
    below = min(int(place), ordered.shape[1] - 2)
    low, high = ordered[:, below], ordered[:, below + 1]
    return high - (high - low) * (below + 1 - place)


@functools.lru_cache(maxsize=16)
def _t_draws(degrees: int, place: int, draws: int, seed: int) -> np.ndarray:
    """Return draws of Student's t, one from each of `draws` strata of equal probability in random
    order: its far quantiles, 12.7 for one degree, come out right. place: of independent ones."""
    order = np.random.default_rng((seed, degrees, place)).permutation(draws)
    found: np.ndarray = stdtrit(degrees, (order + 0.5) / draws)
    found.flags.writeable = False
    return found


def _weights(n: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield (m, n) float64: how often each of n images is in each of m samples, `draws` in all."""
    for first in range(0, draws, _CHUNK):
        m = min(_CHUNK, draws - first)
        drawn = rng.integers(0, n, size=(m, n)) + n * np.arange(m)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=m * n).reshape(m, n)
        yield counts.astype(np.float64)  # NumPy multiplies matrices of integers without BLAS


@functools.lru_cache(maxsize=4)
def _counts(n: int, draws: int, seed: int) -> np.ndarray:
    """All of `_weights` at once, (draws, n) uint8, kept: 7 MB for the 689 faces of 300-W. No count
    reaches 256: that would take as many draws in one sample to hit the same image."""
    counts = np.empty((draws, n), dtype=np.uint8)
    first = 0
    for weights in _weights(n, draws, np.random.default_rng(seed)):
        counts[first : first + len(weights)] = weights
        first += len(weights)
    counts.flags.writeable = False
    return counts


def _vector(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("need a non-empty vector of finite values")
    return values
