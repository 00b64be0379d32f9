"""Are predictions that somebody brings meant as they stand? They are compared with the truth.

A prediction is read otherwise (x and y exchanged, coordinates of a crop, ...) and if most of a file
is much nearer to the truth so, it is refused. A method that fails on a face, or finds another face
of the photo, is nearer under some reading too: so faces in small number are told, not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from drf.data.prediction_files import listed
from drf.data.pts import PLACEHOLDERS
from drf.errors import DataError

SUSPECT = 0.1
"""Mean distance to the truth, as a share of the longer side of the face's landmarks, above which
another reading is tried, and below which it must come. The mean shape of 300-W has 0.05."""

NEARER = 0.4
"""Distance under another reading over that as it stands, below which the other one is meant."""

ALIGNED = 0.25
"""The same for readings that move and scale each face onto the truth, which helps any."""

BESIDE = 0.5
"""Distance above which a prediction lies beside its face."""

_MOST_EXCHANGED, _MOST_OTHERS = 0.05, 0.5  # shares of the faces above which a file is refused
_LEAST_LANDMARKS = 8
_LEAST_FACES = 5  # to tell a constant offset from chance
_OFFSETS, _NEAR_OFFSET = (0.5, 1.0), 0.15  # px
_SURE = 4.0  # times its standard error that an offset has at least
_LEFT_WITHOUT_OFFSET = 0.2  # share of the distance


def check(
    names: Sequence[str],
    predicted: np.ndarray,
    truth: np.ndarray,
    first_pixel: int | None = 0,
) -> list[str]:
    """Return what is to be said of predictions, a sentence each.

    predicted, truth: (n, K, 2) picture px; predictions are NaN at landmarks that are not evaluated,
    the truth where a landmark is missing. first_pixel: the number from which their file was read to
    count, as the user chose; None for .pts files, which count from 1. Raises DataError where most
    predictions are not meant as they stand, with a guess at what they are, and where any is a
    placeholder.
    """
    sides = (np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1)).max(axis=1).astype(np.float64)
    known = np.isfinite(predicted) & np.isfinite(truth)
    some = known.any(axis=(1, 2))
    names = [name for name, one in zip(names, some, strict=True) if one]
    predicted, truth, sides = (
        array[some].astype(np.float64)
        for array in (np.where(known, predicted, np.nan), np.where(known, truth, np.nan), sides)
    )
    if not names:
        return []

    def distance(points: np.ndarray) -> np.ndarray:
        """Return the mean distance of each face as a share of its longer side: (n,)."""
        found: np.ndarray = np.nanmean(np.linalg.norm(points - truth, axis=-1), axis=1) / sides
        return found

    away = np.linalg.norm(predicted - truth, axis=-1) / sides[:, None] > SUSPECT
    if (holed := (_placeholders(predicted) & away).any(axis=1)).any():
        raise DataError(
            "the predictions have landmarks at 0 0 or -1 -1, far from their true places,"
            f" {_those(names, holed)}: that is no place in a picture, and every landmark needs one;"
            " nothing was imported"
        )
    off = distance(predicted)
    read = np.stack([as_if(predicted, truth) for _, as_if, *_ in _READINGS])
    other = np.stack([distance(points) for points in read])
    too_few = known[some].all(axis=2).sum(axis=1) < _LEAST_LANDMARKS
    nearer = np.array([[share] for *_, share, _ in _READINGS])
    meant = (other < nearer * off) & (other < SUSPECT) & (off > SUSPECT)
    meant &= (nearer == NEARER) | ~too_few  # so few lie on the truth however they are meant
    best = np.argmin(other / nearer, axis=0)
    said = []
    for number, (what, _, share, most) in enumerate(_READINGS):
        misread = meant[number] & (best == number)
        if misread.mean() > most:
            raise DataError(
                f"the predictions look as if {what}{_range(predicted)}, {_those(names, misread)};"
                " nothing was imported"
            )
        if misread.any():
            or_other = "" if share == NEARER else ", or they are of another face"
            said.append(f"Predictions look as if {what}{or_other}, {_those(names, misread)}.")
    beside = off > BESIDE
    if beside.mean() > _MOST_OTHERS:
        raise DataError(
            f"the predictions lie beside their faces{_range(predicted)}, {_those(names, beside)};"
            " are they of these pictures, in px, with the landmarks in the order of the dataset?"
            " Nothing was imported"
        )
    if beside.any():
        said.append(f"Predictions lie beside their face, {_those(names, beside)}.")
    if (off > SUSPECT).mean() > _MOST_OTHERS:
        said.append(
            f"Predictions are off by more than {100 * SUSPECT:.0f} % of the face's side, twice as"
            f" far as one shape for every face, {_those(names, off > SUSPECT)}: are the names, and"
            " the order of the landmarks, those of the dataset?"
        )
    return [*said, *_constant_offset(predicted - truth, first_pixel)]


def _placeholders(predicted: np.ndarray) -> np.ndarray:
    """Return which of (n, K, 2) predictions may have been one of PLACEHOLDERS in their file, whose
    first pixel was 0 or 1: (n, K). Near the true place such a one may be meant."""
    found = np.zeros(predicted.shape[:2], dtype=bool)
    for first_pixel in (0, 1):
        for place in PLACEHOLDERS:
            found |= (predicted + first_pixel == place).all(axis=-1)
    return found


def _constant_offset(errors: np.ndarray, first_pixel: int | None) -> list[str]:
    """Return a warning where all predictions are off by half a pixel or one in x and y alike.

    errors: (n, K, 2) px, NaN where there is none; first_pixel: see `check`. Raises DataError where
    that is nearly all of their error: no method is so exact.
    """
    if len(errors) < _LEAST_FACES:
        return []
    each = np.nanmean(errors, axis=1)
    offset = np.median(each, axis=0)
    doubt = 1.4826 * np.median(np.abs(each - offset), axis=0) / np.sqrt(len(each))
    near = [one for one in _OFFSETS if np.abs(np.abs(offset) - one).max() <= _NEAR_OFFSET]
    if not near or offset[0] * offset[1] < 0 or (np.abs(offset) < _SURE * doubt).any():
        return []
    x, y = offset
    where = f"off by ({x:+.2f}, {y:+.2f}) px on average, the same for all faces"
    counted, remedy = _counted(near[0], x > 0, first_pixel)
    left, before = (np.nanmean(np.linalg.norm(e, axis=-1)) for e in (errors - offset, errors))
    if left < _LEFT_WITHOUT_OFFSET * before:
        raise DataError(
            f"the predictions are {where}, which is nearly all of their error: they are {counted}"
            f" ({remedy}); nothing was imported"
        )
    return [f"The predictions are {where}: are they {counted}? If so, {remedy}."]


def _counted(by: float, above: bool, first_pixel: int | None) -> tuple[str, str]:
    """Return how the coordinates of a file are counted that lie so many px above or below the
    truth, and what to do; first_pixel: see `check`."""
    step = f"{'subtract' if above else 'add'} {by:g} {'from' if above else 'to'} them"
    if by < 1:
        corner = "counted from the corner of the first pixel and not from its centre"
        return corner if above else "half a pixel too low", step
    expected = 1 if first_pixel is None else first_pixel
    if above:
        other = "--first-pixel 1 reads those that count from 1"
        return ("counted from 2", step) if expected else ("1-based", other)
    if first_pixel is None:
        return "0-based", f"{step}: .pts files count from 1"
    return ("0-based", "leave out --first-pixel 1") if expected else ("counted from -1", step)


def _exchanged(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return predicted[..., ::-1]


def _interleaved(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return what is read if a row has all x before all y, for faces with all landmarks."""
    incomplete = np.isnan(predicted).any(axis=(1, 2), keepdims=True)
    read = predicted.reshape(len(predicted), 2, -1).swapaxes(1, 2)
    return np.where(incomplete, predicted, read)


def _onto(signs: Sequence[float], exchanged: bool = False) -> Callable[..., np.ndarray]:
    """Return a reading that moves and scales x and y of each face onto the truth."""

    def read(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        points = predicted[..., ::-1] if exchanged else predicted
        centred = (points - np.nanmean(points, axis=1, keepdims=True)) * signs
        spread = np.maximum(np.nanstd(centred, axis=1, keepdims=True), 1e-12)
        scale = np.nanstd(truth, axis=1, keepdims=True) / spread
        moved: np.ndarray = centred * scale + np.nanmean(truth, axis=1, keepdims=True)
        return moved

    return read


_READINGS = (
    ("x and y were exchanged", _exchanged, NEARER, _MOST_EXCHANGED),
    ("all x stood before all y", _interleaved, NEARER, _MOST_EXCHANGED),
    ("they were coordinates of a crop or of another size of the picture", _onto((1, 1)), ALIGNED,
     _MOST_OTHERS),
    ("x and y were exchanged, and of a crop", _onto((1, 1), True), ALIGNED, _MOST_OTHERS),
    ("the pictures had been mirrored", _onto((-1, 1)), ALIGNED, _MOST_OTHERS),
    ("y were counted from the bottom", _onto((1, -1)), ALIGNED, _MOST_OTHERS),
)  # fmt: skip
"""What other readings mean, how they read, how much nearer to the truth they must be, and the share
of the faces above which a file is refused."""


def _range(predicted: np.ndarray) -> str:
    low, high = np.nanmin(predicted), np.nanmax(predicted)
    return f" (values from {low:.4g} to {high:.4g}; px of the dataset's picture were expected)"


def _those(names: Sequence[str], which: np.ndarray) -> str:
    """Return how many faces that are, and the first few."""
    chosen = [name for name, one in zip(names, which, strict=True) if one]
    return f"{len(chosen)} of {len(names)}: {listed(chosen)}"
