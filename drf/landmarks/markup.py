"""Markups: which landmarks a dataset annotates, as values that travel with its faces.

A dataset, a pack, a model, an evaluation and the store each carry the markup of their landmarks, so
that nothing else in the code knows how many there are. `IBUG68` is the one of 300-W and of the
synthetic faces, `WFLW98` that of WFLW, `COFW29` that of COFW; `Markup` describes any other one.

Indices are 0-based; sides are the subject's own, so the left eye lies on the right of a frontal
picture. A landmark of a face is visible, hidden (annotated where it is occluded) or missing (no
coordinates: NaN); see `VISIBLE`, `HIDDEN`, `MISSING`. `MAPS` says which landmarks of two markups
are the same places, so that a model of one can be judged on faces of the other.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drf.errors import UsageError

MISSING, HIDDEN, VISIBLE = 0, 1, 2
"""Visibility of a landmark, as COCO writes it. A missing one has no coordinates (NaN) and counts in
no loss, no box and no error."""

ALL = "all"
"""Name of the landmark subset that every markup has: all of it."""


@dataclass(frozen=True, eq=False)
class Markup:
    """Landmarks 0..K-1 of a face: what they are called, what belongs together, what mirrors what.

    name         what the store and the board call it
    groups       parts of the face -> their landmarks in drawing order; each landmark in one group
    closed       groups whose outline returns to its first point
    subsets      landmark subsets by the name used in configurations -> the groups they join; the
                 subset "all" is always there
    flip         point k of a mirrored picture is the mirror image of point flip[k]
    normalisers  key of `drf.scoring.scores.NORMALISERS` -> two sets of landmarks, the subject's
                 right side first; the normaliser is the distance of their centres, and the order
                 tells right from left (`drf.landmarks.pose`, `drf.data.label_check`). One that is
                 not named here does not exist for the markup
    displayed    a few landmarks all over the face, the first to be shown where all are too many
    titles       landmarks that have a name of their own within their group

    Raises ValueError for what does not fit together.
    """

    name: str
    groups: Mapping[str, tuple[int, ...]]
    flip: tuple[int, ...]
    normalisers: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    closed: frozenset[str] = frozenset()
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    displayed: tuple[int, ...] = ()
    titles: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        members = sorted(index for group in self.groups.values() for index in group)
        known = set(members)
        if not members or members != list(range(len(members))):
            raise ValueError(f"the groups of {self.name} must have each landmark 0..K-1 once")
        if sorted(self.flip) != members or any(self.flip[k] != i for i, k in enumerate(self.flip)):
            raise ValueError(f"the flip permutation of {self.name} must be its own inverse")
        if odd := set().union(self.closed, *map(set, self.subsets.values())) - self.groups.keys():
            raise ValueError(f"{self.name} has no group {', '.join(sorted(odd))}")
        if ALL in self.subsets:
            raise ValueError(f"the subset {ALL!r} of {self.name} is always all landmarks")
        ends = [index for pair in self.normalisers.values() for end in pair for index in end]
        if not {*ends, *self.displayed, *self.titles} <= known:
            raise ValueError(f"{self.name} names a landmark that is not in 0..{len(members) - 1}")

    @functools.cached_property
    def n_points(self) -> int:
        """K, the number of landmarks."""
        return len(self.flip)

    @property
    def subset_names(self) -> tuple[str, ...]:
        """Names of the landmark subsets, "all" first."""
        return (ALL, *self.subsets)

    def indices(self, subset: str = ALL) -> np.ndarray:
        """Return the (k,) int indices of a landmark subset, ascending.

        Raises UsageError for a name that is not among `subset_names`, nor one of a subset that is
        shared with another markup (`MAPS`).
        """
        if subset == ALL:
            return np.arange(self.n_points)
        if (found := shared(self.name, subset)) is not None:
            return np.array(found)
        if subset not in self.subsets:
            raise UsageError(
                f"the markup {self.name} has no landmark subset {subset!r}: use one of"
                f" {', '.join(self.subset_names)}"
            )
        return np.sort([k for group in self.subsets[subset] for k in self.groups[group]])

    @functools.cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """Return the parts of the face that results are given for, as indices; each landmark is in
        one: the landmark subsets, and the groups that none of them joins. Where subsets overlap, or
        have the name of such a group, the regions are the groups."""
        joined = [group for groups in self.subsets.values() for group in groups]
        alone = self.groups.keys() - joined
        if len(joined) > len(set(joined)) or alone & self.subsets.keys():
            return {name: np.sort(group) for name, group in self.groups.items()}
        own = {name: np.sort(group) for name, group in self.groups.items() if name in alone}
        return {name: self.indices(name) for name in self.subsets} | own

    def flip_permutation(self, subset: str = ALL) -> np.ndarray:
        """Return the flip permutation within a subset: (k,) positions in `indices(subset)`.

        Raises UsageError as `indices`, and for a subset that is not its own mirror image.
        """
        known = self.indices(subset)
        if not self.is_symmetric(subset):
            raise UsageError(
                f"the landmark subset {subset!r} of {self.name} is not its own mirror image, so"
                " that no flip test of it is possible (--no-flip-test)"
            )
        return np.searchsorted(known, np.asarray(self.flip)[known])

    def is_symmetric(self, subset: str = ALL) -> bool:
        """Return whether a subset is its own mirror image, so that a flip test is possible."""
        known = self.indices(subset)
        return np.array_equal(np.sort(np.asarray(self.flip)[known]), known)

    def title(self, index: int) -> str:
        """Return what a landmark is called: "36 · right eye, outer corner", or "2 · jaw".

        Raises ValueError for an index that is not in 0..K-1.
        """
        for group, members in self.groups.items():
            if index in members:
                own = f", {self.titles[index]}" if index in self.titles else ""
                return f"{index} · {group.replace('_', ' ')}{own}"
        raise ValueError(f"landmark {index} is not in 0..{self.n_points - 1}")

    def outlines(self) -> list[np.ndarray]:
        """Return one (k,) int array per group: the order in which a pen draws it."""
        return [
            np.asarray([*group, group[0]] if name in self.closed else [*group])
            for name, group in self.groups.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the definition as JSON can hold it; `from_dict` is the inverse."""
        return {
            "name": self.name,
            "groups": {name: list(group) for name, group in self.groups.items()},
            "closed": sorted(self.closed),
            "subsets": {name: list(groups) for name, groups in self.subsets.items()},
            "flip": list(self.flip),
            "normalisers": {k: [list(end) for end in ends] for k, ends in self.normalisers.items()},
            "displayed": list(self.displayed),
            "titles": {str(index): title for index, title in self.titles.items()},
        }

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Markup:
        """Return the markup of a definition. Raises ValueError for what is none."""
        try:
            return cls(
                name=str(held["name"]),
                groups={k: tuple(map(int, group)) for k, group in held["groups"].items()},
                flip=tuple(map(int, held["flip"])),
                normalisers={
                    key: (tuple(map(int, one)), tuple(map(int, other)))
                    for key, (one, other) in held["normalisers"].items()
                },
                closed=frozenset(held["closed"]),
                subsets={k: tuple(groups) for k, groups in held["subsets"].items()},
                displayed=tuple(map(int, held["displayed"])),
                titles={int(index): str(title) for index, title in held["titles"].items()},
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"the definition of a markup is incomplete ({error})") from None

    @functools.cached_property
    def _definition(self) -> str:
        return json.dumps(self.as_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Markup) and self._definition == other._definition

    def __hash__(self) -> int:
        return hash(self._definition)


def _pairs(*pairs: tuple[int, int], n: int) -> tuple[int, ...]:
    """Return the flip permutation that exchanges pairs of n landmarks and leaves the others."""
    permutation = list(range(n))
    for a, b in pairs:
        permutation[a], permutation[b] = b, a
    return tuple(permutation)


IBUG68 = Markup(
    name="ibug68",
    groups={
        "jaw": tuple(range(0, 17)),
        "right_brow": tuple(range(17, 22)),
        "left_brow": tuple(range(22, 27)),
        "nose_bridge": tuple(range(27, 31)),
        "nostrils": tuple(range(31, 36)),
        "right_eye": tuple(range(36, 42)),
        "left_eye": tuple(range(42, 48)),
        "outer_lip": tuple(range(48, 60)),
        "inner_lip": tuple(range(60, 68)),
    },
    closed=frozenset({"right_eye", "left_eye", "outer_lip", "inner_lip"}),
    subsets={
        "eyes": ("right_eye", "left_eye"),
        "brows": ("right_brow", "left_brow"),
        "nose": ("nose_bridge", "nostrils"),
        "mouth": ("outer_lip", "inner_lip"),
        "jaw": ("jaw",),
    },
    flip=_pairs(
        *((i, 16 - i) for i in range(8)),  # jaw
        *((17 + i, 26 - i) for i in range(5)),  # brows
        *((31, 35), (32, 34)),  # nostrils
        *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
        *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58)),  # outer lip
        *((60, 64), (61, 63), (65, 67)),  # inner lip
        n=68,
    ),
    normalisers={
        "ocular": ((36,), (45,)),  # outer eye corners
        "pupil": (tuple(range(36, 42)), tuple(range(42, 48))),  # centres of the six points
    },
    displayed=(36, 30, 48, 8),  # an eye, the nose, the mouth, the chin
    titles={
        **{0: "right end", 8: "chin", 16: "left end"},
        **{17: "outer end", 21: "inner end", 22: "inner end", 26: "outer end"},
        **{27: "root", 30: "tip", 33: "base of the septum"},
        **{36: "outer corner", 39: "inner corner", 42: "inner corner", 45: "outer corner"},
        **{48: "right corner", 51: "top, middle", 54: "left corner", 57: "bottom, middle"},
        **{60: "right corner", 62: "top, middle", 64: "left corner", 66: "bottom, middle"},
    },
)
"""The 68 points of iBUG: 300-W and its parts."""

WFLW98 = Markup(
    name="wflw98",
    groups={
        "jaw": tuple(range(0, 33)),
        "right_brow": tuple(range(33, 42)),
        "left_brow": tuple(range(42, 51)),
        "nose_bridge": tuple(range(51, 55)),
        "nostrils": tuple(range(55, 60)),
        "right_eye": tuple(range(60, 68)),
        "left_eye": tuple(range(68, 76)),
        "outer_lip": tuple(range(76, 88)),
        "inner_lip": tuple(range(88, 96)),
        "right_pupil": (96,),
        "left_pupil": (97,),
    },
    closed=frozenset(
        {"right_brow", "left_brow", "right_eye", "left_eye", "outer_lip", "inner_lip"}
    ),
    subsets={
        "eyes": ("right_eye", "left_eye", "right_pupil", "left_pupil"),
        "brows": ("right_brow", "left_brow"),
        "nose": ("nose_bridge", "nostrils"),
        "mouth": ("outer_lip", "inner_lip"),
        "jaw": ("jaw",),
    },
    flip=_pairs(
        *((i, 32 - i) for i in range(16)),  # jaw
        *((33 + i, 46 - i) for i in range(5)),  # upper edges of the brows
        *((38 + i, 50 - i) for i in range(4)),  # lower edges
        *((55, 59), (56, 58)),  # nostrils
        *((60 + i, 72 - i) for i in range(5)),  # upper lids, with the corners
        *((65 + i, 75 - i) for i in range(3)),  # lower lids
        *((76, 82), (77, 81), (78, 80), (83, 87), (84, 86)),  # outer lip
        *((88, 92), (89, 91), (93, 95)),  # inner lip
        (96, 97),
        n=98,
    ),
    normalisers={
        "ocular": ((60,), (72,)),  # outer eye corners, as WFLW's results are published
        "pupil": ((96,), (97,)),
    },
    displayed=(60, 54, 76, 16),  # an eye, the nose, the mouth, the chin
    titles={
        **{0: "right end", 16: "chin", 32: "left end"},
        **{33: "outer end", 37: "inner end", 42: "inner end", 46: "outer end"},
        **{51: "root", 54: "tip", 57: "base of the septum"},
        **{60: "outer corner", 64: "inner corner", 68: "inner corner", 72: "outer corner"},
        **{76: "right corner", 79: "top, middle", 82: "left corner", 85: "bottom, middle"},
        **{88: "right corner", 90: "top, middle", 92: "left corner", 94: "bottom, middle"},
    },
)
"""The 98 points of WFLW."""

COFW29 = Markup(
    name="cofw29",
    groups={
        "right_brow": (0, 4, 2, 5),
        "left_brow": (1, 6, 3, 7),
        "right_eye": (8, 12, 10, 13),
        "left_eye": (9, 14, 11, 15),
        "right_pupil": (16,),
        "left_pupil": (17,),
        "nose": (18, 20, 19, 21),
        "outer_lip": (22, 24, 23, 27),
        "inner_lip": (25, 26),
        "chin": (28,),
    },
    closed=frozenset({"right_brow", "left_brow", "right_eye", "left_eye", "nose", "outer_lip"}),
    subsets={
        "eyes": ("right_eye", "left_eye", "right_pupil", "left_pupil"),
        "brows": ("right_brow", "left_brow"),
        "mouth": ("outer_lip", "inner_lip"),
    },
    flip=_pairs(
        *((0, 1), (2, 3), (4, 6), (5, 7)),  # brows
        *((8, 9), (10, 11), (12, 14), (13, 15), (16, 17)),  # eyes
        *((18, 19), (22, 23)),  # wings of the nose, corners of the mouth
        n=29,
    ),
    normalisers={
        "ocular": ((8,), (9,)),  # outer eye corners
        "pupil": ((16,), (17,)),
    },
    displayed=(8, 20, 22, 28),  # an eye, the nose, the mouth, the chin
    titles={
        **{0: "outer end", 1: "outer end", 2: "inner end", 3: "inner end"},
        **{4: "upper edge", 5: "lower edge", 6: "upper edge", 7: "lower edge"},
        **{8: "outer corner", 9: "outer corner", 10: "inner corner", 11: "inner corner"},
        **{12: "upper lid", 13: "lower lid", 14: "upper lid", 15: "lower lid"},
        **{18: "right wing", 19: "left wing", 20: "tip", 21: "base of the septum"},
        **{22: "right corner", 23: "left corner", 24: "top, middle", 27: "bottom, middle"},
        **{25: "top, middle", 26: "bottom, middle"},
    },
)
"""The 29 points of COFW."""

CENTRES5 = Markup(
    name="centres5",
    groups={"right_eye": (0,), "left_eye": (1,), "nose": (2,), "mouth": (3, 4)},
    subsets={"eyes": ("right_eye", "left_eye")},
    flip=_pairs((0, 1), (3, 4), n=5),
    normalisers={"pupil": ((0,), (1,))},
    displayed=(0, 2, 3),
    titles={2: "tip", 3: "right corner", 4: "left corner"},
)
"""The five points of CelebA and of many face detectors: the centres of the eyes, the tip of the
nose, the corners of the mouth."""

MARKUPS = {markup.name: markup for markup in (IBUG68, WFLW98, COFW29, CENTRES5)}
"""The markups that drf defines, by name."""


SHARED = "shared-"
"""Begins the name of a landmark subset, `shared-SOURCE`: what a model of the markup SOURCE can be
judged on. That is a board of its own, never compared with errors over all landmarks."""

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
"""(source, target), names of markups -> the landmarks of the target that mark the same place as one
of the source, or as the mean of several. What is only near the same place is not listed: such
landmarks are predicted by nobody and left out of the score.

  wflw98 -> ibug68    all but the lids: WFLW divides a lid into four parts, iBUG into three
  wflw98 -> cofw29    all but the lower edge of the brows, which WFLW marks beside the middle, and
                      the wings of the nose, which COFW marks where they are widest
  ibug68 -> cofw29    all but both edges of the brows (iBUG draws one line), the pupils, and the
                      wings of the nose; the middle of a lid is the mean of its two landmarks
  * -> centres5       all; the centre of an eye is its pupil where there is one, else the mean of
                      its landmarks, as the normaliser `pupil` has it

Of a map in the other direction the landmarks are those that this one gives one for one.
"""


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
