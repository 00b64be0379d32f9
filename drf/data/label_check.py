"""Do the landmarks of a face look like a face, as their markup names them?

A shape whose labels are right lies near a reference shape after a similarity (which does not
reflect), and nearer than under any usual mistake: the shape mirrored, with x and y exchanged, its
eyes exchanged, its landmarks counted from another first one, a part drawn from its other end. The
reference is a table, so a set that is wrong as a whole is found like one face of it. A markup
without one is checked by the side on which the eyes lie, which tells a mirrored face.

On the 2342 faces of 300-W that this was measured on, the root mean square distance to the reference
is at most 0.38 of its size, and at least 0.96 for the same faces reflected or shuffled. A wrong
order fits them at best 1.07 times as badly as their own, and at worst 0.91 times where it is true.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from drf.errors import DataError
from drf.landmarks import geometry
from drf.landmarks.markup import IBUG68, Markup

MOST_DISTANCE = 0.65
"""Distance to the reference, as a share of its size, above which a shape is no face."""

FITS_BETTER = 0.95
"""Distance under another order over that under the own one, below which the other one is meant."""

MOST_OFF = 3.0
"""Distance of one landmark from its place in the reference, as a share of its size, above which it
belongs somewhere else; at most 0.98 on 300-W."""

MOST_IN_ONE_PLACE = 2
"""Landmarks at the very same coordinates; more are placeholders. Real annotators place two."""

LEAST_BOX_PX = 8.0
"""Longer side of the landmark box below which coordinates are not taken for pixels."""

MOST_ODD_LABELS = 0.05
"""Share of the faces of a subset whose labels may be no face before the subset is refused."""

_REFERENCES = {
    IBUG68: """
    -1.31,-0.67 -1.29,-0.35 -1.26,-0.03 -1.19,0.35 -1.09,0.69 -0.89,1.00 -0.61,1.25 -0.31,1.43
    0.02,1.49 0.35,1.42 0.64,1.23 0.91,0.98 1.10,0.66 1.20,0.32 1.26,-0.06 1.29,-0.38 1.30,-0.69
    -1.11,-0.88 -0.95,-1.05 -0.73,-1.12 -0.48,-1.09 -0.25,-1.02 0.23,-1.02 0.46,-1.10 0.71,-1.13
    0.92,-1.07 1.09,-0.90 -0.01,-0.73 -0.01,-0.50 0.00,-0.26 0.00,-0.04 -0.28,0.10 -0.15,0.15
    0.00,0.18 0.15,0.14 0.28,0.09 -0.84,-0.69 -0.70,-0.78 -0.52,-0.78 -0.37,-0.66 -0.52,-0.64
    -0.70,-0.63 0.35,-0.67 0.50,-0.79 0.68,-0.79 0.82,-0.70 0.69,-0.65 0.51,-0.65 -0.55,0.49
    -0.36,0.40 -0.15,0.38 0.00,0.40 0.15,0.37 0.36,0.39 0.56,0.48 0.37,0.68 0.18,0.81 0.01,0.85
    -0.16,0.82 -0.36,0.69 -0.47,0.51 -0.16,0.48 0.00,0.50 0.16,0.47 0.48,0.49 0.17,0.60 0.01,0.62
    -0.15,0.60
    """
}
"""x,y of every landmark of a markup, down and to the right; the mean of 100 synthetic faces."""

_MIRRORED = (
    "its landmarks form a mirrored face: was the picture mirrored without renaming them, or does"
    " the normaliser pupil name the left eye before the right one?"
)
_TRANSPOSED = "its landmarks form a transposed face: are x and y exchanged?"
_UPSIDE_DOWN = "its landmarks form a face upside down and mirrored: is y counted from the bottom?"
_NO_FACE = "its landmarks do not form a face: are they in another order?"


@functools.cache
def reference(markup: Markup) -> np.ndarray | None:
    """Return the mean shape that labels are compared with, (K, 2) centred and of unit size; None
    for a markup without one."""
    if markup not in _REFERENCES:
        return None
    pairs = [pair.split(",") for pair in _REFERENCES[markup].split()]
    mean = np.array(pairs, dtype=np.float64)
    mean = mean - mean.mean(axis=0)
    return mean / _size(mean)


def fault(points: np.ndarray, markup: Markup) -> str | None:
    """Return what is wrong with the labels of a face, a phrase, or None; see `faults`."""
    return faults(np.asarray(points)[None], markup).get(0)


def faults(points: np.ndarray, markup: Markup) -> dict[int, str]:
    """Return what is wrong with the labels of faces: position -> phrase, nothing of those that are
    right.

    points: (n, K, 2) picture px, NaN where missing. Labels of another photo's face cannot be told:
    a shape alone does not show whose it is.
    """
    points = np.asarray(points, dtype=np.float64)
    there = np.isfinite(points).all(axis=2)
    found: dict[int, str] = {}
    for mask in np.unique(there, axis=0):  # nearly always one: all landmarks are there
        rows = np.flatnonzero((there == mask).all(axis=1))
        if mask.any():
            alike = _faults_of(points[rows][:, mask], mask, markup)
            found |= {int(rows[row]): phrase for row, phrase in alike.items()}
    return dict(sorted(found.items()))


MOST_FLIP_OFF = {30: 0.4, 5: 1.0}
"""Faces of a set, at least -> distance of a landmark of their mean from its place in the mirrored
mean, as a share of the mean's size, above which its mirror image is another landmark. Few faces may
all look to one side: 200 sets of 30 faces of 300-W stay below 0.35, 200 sets of 5 below 0.84."""


def flip_fault(points: np.ndarray, markup: Markup) -> str | None:
    """Return which landmark of a markup has a mirror image that cannot be it, a sentence, or None.

    points: (n, K, 2) faces of a set, in whichever poses: their mean is nearly symmetric. Faces with
    missing landmarks count for nothing, and of fewer than five nothing is said.
    """
    whole = np.asarray(points, dtype=np.float64)
    whole = whole[np.isfinite(whole).all(axis=(1, 2))]
    most = next((off for n, off in MOST_FLIP_OFF.items() if len(whole) >= n), None)
    if most is None:
        return None
    mean = geometry.procrustes(whole).mean
    mirrored = mean[list(markup.flip)] * [-1, 1]
    aligned = geometry.apply(geometry.similarities(mirrored[None], mean), mirrored[None])[0]
    off = np.linalg.norm(aligned - mean, axis=1) / _size(mean)
    worst = int(off.argmax())
    if off[worst] <= most:
        return None
    return (
        f"the mirror image of landmark {markup.title(worst)} cannot be landmark"
        f" {markup.title(markup.flip[worst])}: look at the pairs of flip"
    )


def refuse_odd(names: Sequence[str], points: np.ndarray, markup: Markup, what: str) -> str | None:
    """Return a warning of the faces whose labels are no face, None where there are none.

    what: the subset as the sentence names it. Raises DataError where they are more than
    MOST_ODD_LABELS, and more than one.
    """
    found = faults(points, markup)
    if not found:
        return None
    first = min(found)
    sentence = (
        f"the labels of {len(found)} of the {len(names)} faces of {what} are no face, first"
        f" {names[first]}: {found[first]}"
    )
    if len(found) > max(1, MOST_ODD_LABELS * len(names)) or len(found) == len(names):
        raise DataError(
            f"{sentence} At most {100 * MOST_ODD_LABELS:.0f} % may be; `drf data check` lists them"
            " all"
        )
    return sentence


def _faults_of(points: np.ndarray, mask: np.ndarray, markup: Markup) -> dict[int, str]:
    """Return the faults of faces that have the same landmarks. (n, k, 2), (K,) bool."""
    sides = np.ptp(points, axis=1).max(axis=1)
    found = {int(row): _too_small(sides[row]) for row in np.flatnonzero(sides < LEAST_BOX_PX)}
    for row in np.flatnonzero(_in_one_place(points) > MOST_IN_ONE_PLACE):
        found.setdefault(int(row), _placeholder(points[row], mask, markup))
    rest = np.array([row for row in range(len(points)) if row not in found], dtype=int)
    mean = reference(markup)
    if not len(rest):
        return found
    if mean is None:
        odd = _of_sides(points[rest], mask, markup)
    elif mask.sum() < markup.n_points / 4:  # so few that much fits them
        return found
    else:
        odd = _against(points[rest], mean, mask, markup)
    return found | {int(rest[row]): phrase for row, phrase in odd.items()}


def _too_small(side: float) -> str:
    return f"its landmark box is {side:.2g} px wide: " + (
        "are these coordinates in 0..1?" if side <= 2 else "too small to show a face"
    )


def _in_one_place(points: np.ndarray) -> np.ndarray:
    """Return how many landmarks of a face share coordinates, at most MOST_IN_ONE_PLACE + 1.

    (n, k, 2) -> (n,).
    """
    places = np.sort(points[..., 0] + 1j * points[..., 1], axis=1)
    same = np.ones(len(points), dtype=int)
    for apart in range(1, MOST_IN_ONE_PLACE + 1):
        same += (places[:, apart:] == places[:, :-apart]).any(axis=1)
    return same


def _placeholder(face: np.ndarray, mask: np.ndarray, markup: Markup) -> str:
    places, place_of, counts = np.unique(face, axis=0, return_inverse=True, return_counts=True)
    most = int(counts.argmax())
    which = np.flatnonzero(mask)[np.flatnonzero(place_of.ravel() == most)]
    x, y = places[most]
    return (
        f"{len(which)} of its landmarks are in one place ({x:g}, {y:g}), first landmark"
        f" {markup.title(int(which[0]))}: are they missing?"
    )


def _against(
    points: np.ndarray, mean: np.ndarray, mask: np.ndarray, markup: Markup
) -> dict[int, str]:
    """Return the faults of (n, k, 2) shapes against a reference (K, 2) whose landmarks `mask` they
    have."""
    own = mean[mask]
    aligned = geometry.apply(geometry.similarities(points, own), points)
    apart = ((aligned - own) ** 2).sum(axis=2)
    unit = _size(own)
    best = np.full(len(points), FITS_BETTER)
    meant = np.full(len(points), -1)
    for number, (_, order) in enumerate(_orders(markup)):
        moved = (order != np.arange(len(order)))[mask]
        if not moved.any():
            continue
        as_ordered = ((aligned[:, moved] - mean[order][mask][moved]) ** 2).sum(axis=(1, 2))
        ratio = np.sqrt(as_ordered / apart[:, moved].sum(axis=1).clip(1e-12))
        meant[ratio < best] = number
        best = np.minimum(best, ratio)
    distance, off = np.sqrt(apart.mean(axis=1)) / unit, np.sqrt(apart) / unit
    found = {}
    for row in np.flatnonzero((distance > MOST_DISTANCE) | (meant >= 0) | (off > MOST_OFF).any(1)):
        phrase, order = _orders(markup)[meant[row]]
        fits = meant[row] >= 0 and _turned(points[row], mean[order][mask])[0] <= MOST_DISTANCE
        if distance[row] > MOST_DISTANCE:
            found[int(row)] = _reflection(points[row], own) or (phrase if fits else _NO_FACE)
        elif fits:
            found[int(row)] = phrase
        else:
            which = int(np.flatnonzero(mask)[off[row].argmax()])
            said = f"its landmark {markup.title(which)} lies far from where a face has it"
            found[int(row)] = said
    return found


def _reflection(shape: np.ndarray, mean: np.ndarray) -> str | None:
    """Return which reflection of the reference a shape is: the one that needs least turning."""
    fits = {
        _MIRRORED: _turned(shape, mean * [-1, 1]),
        _TRANSPOSED: _turned(shape, mean[:, ::-1]),
        _UPSIDE_DOWN: _turned(shape, mean * [1, -1]),
    }
    angles = {said: angle for said, (apart, angle) in fits.items() if apart <= MOST_DISTANCE}
    return min(angles, key=angles.__getitem__, default=None)


def _turned(shape: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the distance of a shape to a target after the best similarity, as a share of the
    target's size, and the angle of that similarity, 0..pi."""
    (map_,) = geometry.similarities(shape[None], target)
    apart = geometry.apply(map_[None], shape[None])[0] - target
    distance = np.sqrt((apart**2).sum(axis=1).mean()) / _size(target)
    return float(distance), float(abs(np.arctan2(map_[1, 0], map_[0, 0])))


def _size(shape: np.ndarray) -> float:
    """Return the root mean square distance of landmarks from their centre."""
    return float(np.sqrt(((shape - shape.mean(axis=0)) ** 2).sum(axis=1).mean()))


@functools.cache
def _orders(markup: Markup) -> tuple[tuple[str, np.ndarray], ...]:
    """Return usual wrong orders: (phrase, what stands in the place of each landmark)."""
    return tuple(_wrong_orders(markup))


def _wrong_orders(markup: Markup) -> Iterator[tuple[str, np.ndarray]]:
    usual = np.arange(markup.n_points)
    yield "its landmarks are in reverse order", usual[::-1]
    for step in (1, -1):
        yield "its landmarks are counted from another first one", np.roll(usual, step)
    for name, group in markup.groups.items():
        members, title = np.array(group), name.replace("_", " ")
        mirrored = np.asarray(markup.flip)[members]
        if len(members) > 3:
            order = usual.copy()
            order[members] = members[::-1]
            yield f"the landmarks of its {title} are in another order", order
        if set(mirrored) != set(group) and mirrored.min() > members.max():
            other = next(o for o, g in markup.groups.items() if mirrored[0] in g)
            said = f"its {title} and its {other.replace('_', ' ')} are exchanged"
            for exchanged in (mirrored, np.sort(mirrored)):
                order = usual.copy()
                order[members], order[exchanged] = exchanged, members
                yield said, order


def _of_sides(points: np.ndarray, mask: np.ndarray, markup: Markup) -> dict[int, str]:
    """Return the faces that are a mirror image, by the markup's two eyes and what lies below them:
    the subject's right eye is on the left of an upright picture. (n, k, 2) -> row -> phrase."""
    if "pupil" not in markup.normalisers:
        return {}
    known = np.flatnonzero(mask)
    right, left = (np.isin(known, end) for end in markup.normalisers["pupil"])
    if not (right.any() and left.any()) or (right | left).all():
        return {}
    one, other = points[:, right].mean(axis=1), points[:, left].mean(axis=1)
    across = other - one
    down = points[:, ~(right | left)].mean(axis=1) - (one + other) / 2
    turn = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    lying = np.abs(across[:, 1]) > np.abs(across[:, 0])
    return {int(row): _TRANSPOSED if lying[row] else _MIRRORED for row in np.flatnonzero(turn < 0)}
