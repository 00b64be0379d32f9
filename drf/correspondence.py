"""Which landmarks of one markup are the places of landmarks of another one, by name and index.

A model of one markup can so be judged on faces of another: `MAPS[source, target]` gives for a
landmark of the target the landmark of the source that marks the same place, or several whose mean
does. What is only near the same place is not listed: such landmarks are predicted by nobody and
left out of the score. Errors over the others are the landmark subset `shared-SOURCE` of the target,
which is a board of its own, so that they are never compared with errors over all landmarks.

  wflw98 -> ibug68    all but the lids: WFLW divides a lid into four parts, iBUG into three
  wflw98 -> cofw29    all but the lower edge of the brows, which WFLW marks beside the middle, and
                      the wings of the nose, which COFW marks where they are widest
  ibug68 -> cofw29    all but both edges of the brows (iBUG draws one line), the pupils, and the
                      wings of the nose; the middle of a lid is the mean of its two landmarks
  * -> centres5       all; the centre of an eye is its pupil where there is one, else the mean of
                      its landmarks, as the normaliser `pupil` has it

Of a map in the other direction the landmarks are those that this one gives one for one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

SHARED = "shared-"

Map = Mapping[int, tuple[int, ...]]
"""Landmark of the target -> landmarks of the source, whose mean it is."""


def _in_order(target: Sequence[int], source: Sequence[int]) -> dict[int, tuple[int, ...]]:
    return {t: (s,) for t, s in zip(target, source, strict=True)}


_LISTED: dict[tuple[str, str], Map] = {
    ("wflw98", "ibug68"): {
        **_in_order(range(17), range(0, 33, 2)),  # jaw
        **_in_order(range(17, 22), range(33, 38)),  # brows
        **_in_order(range(22, 27), range(42, 47)),
        **_in_order(range(27, 36), range(51, 60)),  # nose
        **_in_order((36, 39, 42, 45), (60, 64, 68, 72)),  # corners of the eyes
        **_in_order(range(48, 68), range(76, 96)),  # lips
    },
    ("wflw98", "cofw29"): {
        **_in_order((0, 1, 4, 6), (33, 46, 35, 44)),  # brows: outer ends, middle of the upper edges
        **{2: (37, 38), 3: (42, 50)},  # inner ends, which WFLW marks above and below
        **_in_order((8, 10, 11, 9), (60, 64, 68, 72)),  # corners of the eyes
        **_in_order((12, 13, 14, 15), (62, 66, 70, 74)),  # middle of the lids
        **_in_order((16, 17), (96, 97)),  # pupils
        **_in_order((20, 21), (54, 57)),  # nose: tip, base of the septum
        **_in_order((22, 23), (76, 82)),  # corners of the mouth
        **_in_order((24, 25, 26, 27), (79, 90, 94, 85)),  # middle of the lips, from above
        28: (16,),  # chin
    },
    ("ibug68", "cofw29"): {
        **_in_order((0, 1, 2, 3), (17, 26, 21, 22)),  # brows: outer and inner ends
        **_in_order((8, 10, 11, 9), (36, 39, 42, 45)),
        **{12: (37, 38), 13: (40, 41), 14: (43, 44), 15: (46, 47)},
        **_in_order((20, 21), (30, 33)),
        **_in_order((22, 23), (48, 54)),
        **_in_order((24, 25, 26, 27), (51, 62, 66, 57)),
        28: (8,),
    },
    ("ibug68", "centres5"): {
        **{0: tuple(range(36, 42)), 1: tuple(range(42, 48))},
        **_in_order((2, 3, 4), (30, 48, 54)),
    },
    ("wflw98", "centres5"): _in_order(range(5), (96, 97, 54, 76, 82)),
    ("cofw29", "centres5"): _in_order(range(5), (16, 17, 20, 22, 23)),
}


def _inverse(of: Map) -> Map:
    return {s[0]: (t,) for t, s in of.items() if len(s) == 1}


MAPS: dict[tuple[str, str], Map] = {
    **{(target, source): _inverse(of) for (source, target), of in _LISTED.items()},
    **_LISTED,
}
"""(source, target), names of markups -> their map."""


@functools.cache
def shared(markup: str, subset: str) -> tuple[int, ...] | None:
    """Return the landmarks of a markup that a subset called `shared-SOURCE` has, ascending; None
    for any other subset."""
    found = MAPS.get((subset.removeprefix(SHARED), markup)) if subset.startswith(SHARED) else None
    return None if found is None else tuple(sorted(found))


def sources(markup: str) -> tuple[str, ...]:
    """Return the markups whose models can be judged on faces of a markup."""
    return tuple(source for source, target in MAPS if target == markup)


def convert(values: np.ndarray, of: Map, n_points: int) -> np.ndarray:
    """Return what is known of the source's landmarks for those of the target, NaN at landmarks that
    are not shared. (n, K, ...) -> (n, n_points, ...).

    values: points, or covariances of their errors: the mean of some landmarks is taken to err as
    they do on average, which is right where their errors are alike, and too much where they are
    not.
    """
    found = np.full((len(values), n_points, *values.shape[2:]), np.nan, dtype=values.dtype)
    for target, source in of.items():
        found[:, target] = values[:, list(source)].mean(axis=1)
    return found
