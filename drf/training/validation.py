"""What an epoch is measured by: the means of its losses, and the averaged model's validation."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drf import distributed
from drf.data.augment import identity_affines, warp_points
from drf.data.floor import floor_nme
from drf.data.packs import CONTEXT, PACK_SIZE, Pack
from drf.errors import Diverged
from drf.inference.prediction import Predictor, face_crops, predict
from drf.landmarks import geometry
from drf.models.base import LARGEST_RATIO, Recalibration, Recalibrations
from drf.pictures import LEAVES, LeafGallery
from drf.scoring import scores, uncertainty
from drf.scoring.results import COLLAPSED_STD_RATIO

WATCHED = 6
"""Faces whose predictions are kept epoch by epoch."""

LEAST_FACES = 100
"""Of so many faces one is the hundredth part whose expected error is larger than usual."""


def validate(predictor: Predictor, pack: Pack) -> tuple[dict[str, float], np.ndarray]:
    """Return the metrics of a model on a pack, and its predictions, (n, K, 2) float32 as `predict`,
    which raises Diverged for those that are not finite.

    Metrics: val_SCORE_NORM of every score and normaliser (fractions), prediction_std_ratio
    (standard deviation of the predictions over that of the labels; 0: one shape for every face;
    left out where the labels do not vary, as those of one face) and the model's own diagnostics.
    """
    spec = predictor.model.spec
    outputs: list[Any] = []
    predictions = predict(predictor, pack, on_outputs=outputs.append).points
    values = validation_scores(predictions, pack, spec.landmarks)
    points = _unit_points(pack, predictor.device)[:, spec.indices]
    with torch.inference_mode():
        predicted = torch.cat([predictor.model.points(o) for o in outputs])
        if (std := _std(points, points)) > 0:
            values["prediction_std_ratio"] = _std(predicted, points) / std
        values |= predictor.model.diagnostics(outputs, points)
    return values, predictions


def validation_scores(predictions: np.ndarray, pack: Pack, landmarks: str) -> dict[str, float]:
    """Return {"val_SCORE_NORM": value} of every score and normaliser, fractions.

    predictions: (n, K, 2) picture px · landmarks: subset of the pack's markup that errors are
    averaged over. A normaliser that exists on none of the faces is left out.
    """
    return {
        f"val_{score}_{norm}": value
        for norm in scores.NORMALISER_KEYS
        for score, value in scores.summary(
            scores.image_errors(predictions, pack.picture_points, norm, pack.markup, landmarks)
        ).items()
    }


def recalibrate(predictor: Predictor, pack: Pack) -> Recalibrations | None:
    """Return what corrects the covariances of a predictor's model, which has no correction yet;
    None where it predicts none that could be corrected.

    The flip test of a landmark subset that is not its own mirror image is impossible: it has the
    correction of single pictures.
    """
    single = _recalibrate(replace(predictor, flip_test=False), pack)
    if single is None:
        return None
    spec = predictor.model.spec
    if not spec.markup.is_symmetric(spec.landmarks):
        return Recalibrations(single, single)
    return Recalibrations(single, _recalibrate(replace(predictor, flip_test=True), pack) or single)


def _recalibrate(predictor: Predictor, pack: Pack) -> Recalibration | None:
    """Return that of what a predictor predicts for a pack, None as `recalibrate`.

    The exponent is the likeliest. The factors are conformal: with S of factors 1, for each region,

        s = Q_level(d^T S^-1 d) / (-2 ln(1 - level))

    with Q of `uncertainty.conformal_quantile`, so that the shape of the errors' tail does not
    matter. What is not finite is left out, and a factor that would not be finite and positive is 1.
    The usual expected error is that of the corrected covariances.
    """
    predicted = predict(predictor, pack, covariances=True)
    if predicted.covariances is None:
        return None
    spec = predictor.model.spec
    side = pack.to_picture[:, 0, 0, None, None] * PACK_SIZE / CONTEXT  # of the unit box, picture px
    offsets = (predicted.points - pack.picture_points)[:, spec.indices] / side
    covariances = predicted.covariances[:, spec.indices] / side[..., None] ** 2
    lengths = np.sqrt(np.trace(covariances, axis1=-2, axis2=-1))
    lengths[~np.isfinite(lengths)] = np.nan
    of_region = lengths @ spec.region_averages.T
    sizes = np.log(np.where(of_region > 0, of_region, np.nan))
    known = ~np.isnan(sizes)
    typical = np.where(known, sizes, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    sizes = np.clip(sizes - typical, -math.log(LARGEST_RATIO), math.log(LARGEST_RATIO))
    distances = uncertainty.known_distances(offsets, covariances)
    distances[~known] = np.nan
    exponent = uncertainty.likeliest_exponent(distances, sizes, spec.regions)
    distances *= np.exp(-2 * exponent * sizes)
    limit = uncertainty.limit(uncertainty.LEVEL)
    factors = np.full(spec.n_points, np.nan)
    for of in spec.regions:
        factor = uncertainty.conformal_quantile(distances[:, of]) / limit
        if 0 < factor < np.inf:
            factors[of] = factor
    if np.isnan(factors).all():
        return None
    factors = np.nan_to_num(factors, nan=1.0)
    usual = _usual(lengths * np.sqrt(factors) * np.exp(exponent * sizes))
    return Recalibration(factors.tolist(), exponent, np.exp(typical).tolist(), usual)


def _usual(expected: np.ndarray) -> float | None:
    """Return what the expected errors of 99 % of the faces stay below; None for fewer than
    LEAST_FACES. (n, k) of each landmark, NaN where it is not known."""
    known = ~np.isnan(expected)
    of_faces = np.where(known, expected, 0).sum(axis=1)[known.any(axis=1)]
    of_faces /= known.sum(axis=1)[known.any(axis=1)]
    return float(np.quantile(of_faces, 0.99)) if len(of_faces) >= LEAST_FACES else None


def leaf_gallery(predictor: Predictor, pack: Pack) -> LeafGallery:
    """Return the leaves that a model shows of itself, none if it has none."""
    outputs: list[Any] = []
    predict(predictor, pack, on_outputs=outputs.append)
    points = _unit_points(pack, predictor.device)
    known = predictor.model.spec.indices
    with torch.inference_mode():
        leaves = predictor.model.leaf_pictures(outputs, points[:, known])[:LEAVES]
    top_faces = sorted({face for leaf in leaves for face in leaf.faces})
    crops = dict(zip(top_faces, face_crops(pack, top_faces), strict=True))
    return LeafGallery(tuple(leaves), crops, points.nanmean(dim=0).cpu().numpy())


def watched(n: int) -> np.ndarray:
    """Return the positions of the faces whose predictions are kept epoch by epoch: WATCHED evenly
    spaced among n, all if there are fewer."""
    return np.unique(np.linspace(0, n - 1, WATCHED).round().astype(int))


def _unit_points(pack: Pack, device: torch.device) -> Tensor:
    """Return all labels of a pack, (n, K, 2) unit box."""
    unit = torch.from_numpy(geometry.to_unit(pack.points, PACK_SIZE)).to(device)
    return warp_points(unit, identity_affines(len(unit), device))


def _std(points: Tensor, labels: Tensor) -> float:
    """Return the root of the mean variance over faces, of the places where there is a label:
    (n, K, 2), (n, K, 2) -> a number."""
    points = points.cpu().double()  # not every device has float64
    points = points.masked_fill(labels.isnan().cpu(), torch.nan)
    variance = (points - points.nanmean(dim=0)).square().nanmean(dim=0)
    return float(variance.nanmean().sqrt())


def no_better_than_floor(nme: float, pack: Pack, landmarks: str) -> str | None:
    """Return why a model with this NME on a pack has learned nothing, in one sentence, or None."""
    floor = floor_nme(pack.picture_points, pack.markup, landmarks, pack.boxes)
    if floor is None or nme < floor:
        return None
    return (
        f"the validation NME, {100 * nme:.2f} %, is no better than that of one shape for every"
        f" face, {100 * floor:.2f} %: lower training.lr, or train longer"
    )


def collapsed(values: dict[str, float]) -> str | None:
    """Return why a model counts as collapsed, in one sentence, or None."""
    ratio = values.get("prediction_std_ratio")
    if ratio is None or not np.isfinite(ratio) or ratio >= COLLAPSED_STD_RATIO:
        return None
    return (
        f"the predictions vary {ratio:.3f} times as much as the labels"
        f" (less than {COLLAPSED_STD_RATIO}): every face gets nearly the same shape"
    )


REPORT_EVERY_S = 0.5


class Meter:
    """Means of an epoch's losses. Tensors stay on their device until a number is asked for."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # a part may be there for some steps of an epoch only
        self.steps = self.faces = 0
        self._since = (0, 0, 0.0, time.perf_counter())  # steps, faces, loss sum, time

    def add(self, parts: dict[str, Tensor], faces: int) -> None:
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.steps += 1
        self.faces += faces

    @property
    def unreported(self) -> int:
        """Steps since the last report."""
        return self.steps - self._since[0]

    def due(self) -> bool:
        return time.perf_counter() - self._since[3] >= REPORT_EVERY_S

    def report(self) -> tuple[float, float]:
        """Return the mean loss and the faces/s since the last report. Raises Diverged where the
        loss is not finite."""
        steps, faces, loss, then = self._since
        now, total = time.perf_counter(), _finite(self.sums["loss"])
        self._since = (self.steps, self.faces, total, now)
        return (total - loss) / (self.steps - steps), (self.faces - faces) / (now - then)

    def means(self) -> dict[str, float]:
        """Return the mean of each loss over steps and processes."""
        n = distributed.processes()
        sums = {name: distributed.total(value) / n for name, value in self.sums.items()}
        return {name: _finite(value) / self.counts[name] for name, value in sums.items()}


def _finite(value: Tensor) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise Diverged("the loss was no longer finite")
    return number
