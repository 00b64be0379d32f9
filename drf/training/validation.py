"""What is read off the averaged model after each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from drf import geometry, landmarks, metrics, uncertainty
from drf.data.augment import plain_maps, warp_points
from drf.data.packs import PACK_SIZE, Pack
from drf.prediction import Predictor, face_crops, predict
from drf.results import COLLAPSED_SPREAD, LEAVES, LeafGallery

WATCHED = 6
"""Faces whose predictions are kept epoch by epoch."""


def validate(predictor: Predictor, pack: Pack) -> tuple[dict[str, float], np.ndarray]:
    """Return what is read off a model, and its predictions: (n, 68, 2) float32, as `predict`.

    Readings: val_nme_ocular and val_nme_pupil (fractions), prediction_spread (1: as wide as the
    labels, 0: one shape for every face) and the model's own instruments.
    """
    known = landmarks.indices(predictor.model.frame.points)
    outputs: list[Any] = []
    predictions = predict(predictor, pack, on_outputs=outputs.append).points
    values = {}
    for norm in ("ocular", "pupil"):
        errors = metrics.image_errors(predictions, pack.picture_points, norm, known)
        values[f"val_nme_{norm}"] = metrics.nme(errors)
    points = _unit_points(pack, predictor.device)[:, known]
    with torch.inference_mode():
        predicted = torch.cat([predictor.model.points(o) for o in outputs])
        values["prediction_spread"] = float(_spread(predicted) / _spread(points))
        values |= predictor.model.instruments(outputs, points)
    return values, predictions


def calibrate(predictor: Predictor, pack: Pack) -> float | None:
    """Return what the model's covariances are to be multiplied by so that of the faces of a pack
    ellipses of 95 % hold as many landmarks; None where it says nothing, or nothing of use."""
    predicted = predict(predictor, pack, covariances=True)
    if predicted.covariances is None:
        return None
    known = landmarks.indices(predictor.model.frame.points)
    offsets = (predicted.points - pack.picture_points)[:, known].astype(np.float64)
    spread = uncertainty.spread_to_hold(offsets, predicted.covariances[:, known].astype(np.float64))
    return spread if 0 < spread < np.inf else None


def leaf_gallery(predictor: Predictor, pack: Pack) -> LeafGallery:
    """Return the leaves that a model shows of itself, none if it has none."""
    outputs: list[Any] = []
    predict(predictor, pack, on_outputs=outputs.append)
    points = _unit_points(pack, predictor.device)
    known = landmarks.indices(predictor.model.frame.points)
    with torch.inference_mode():
        leaves = predictor.model.gallery(outputs, points[:, known])[:LEAVES]
    attracted = sorted({face for leaf in leaves for face in leaf.faces})
    crops = dict(zip(attracted, face_crops(pack, attracted), strict=True))
    return LeafGallery(tuple(leaves), crops, points.mean(dim=0).cpu().numpy())


def watched(n: int) -> np.ndarray:
    """Return the positions of the faces whose predictions are kept epoch by epoch: WATCHED evenly
    spaced among n, all if there are fewer."""
    return np.unique(np.linspace(0, n - 1, WATCHED).round().astype(int))


def _unit_points(pack: Pack, device: torch.device) -> Tensor:
    """Return all labels of a pack, (n, 68, 2) unit box."""
    unit = torch.from_numpy(geometry.to_unit(pack.points, PACK_SIZE)).to(device)
    return warp_points(unit, plain_maps(len(unit), device))


def _spread(points: Tensor) -> Tensor:
    """Root of the mean variance over faces: (n, K, 2) -> ()."""
    return points.double().var(dim=0, correction=0).mean().sqrt()


def collapsed(values: dict[str, float]) -> str | None:
    """Return why a model counts as collapsed, in one sentence, or None."""
    spread = values["prediction_spread"]
    if not np.isfinite(spread) or spread >= COLLAPSED_SPREAD:
        return None
    return (
        f"the predictions spread {spread:.3f} times as wide as the labels"
        f" (less than {COLLAPSED_SPREAD}): every face gets nearly the same shape"
    )
