"""What is read off the averaged model after each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from drf import geometry, landmarks, metrics
from drf.data.augment import plain_maps, warp_points
from drf.data.cache import PACK_SIZE, Pack
from drf.prediction import Predictor, predict

COLLAPSED = 0.1
"""Spread of the predictions over that of the labels under which a model ignores the picture."""


def validate(predictor: Predictor, pack: Pack) -> dict[str, float]:
    """Return val_nme_ocular and val_nme_pupil (fractions), prediction_spread (1: as wide as the
    labels, 0: one shape for every face) and the model's own instruments."""
    known = landmarks.indices(predictor.model.frame.points)
    outputs: list[Any] = []
    predictions, _ = predict(predictor, pack, on_outputs=outputs.append)
    values = {}
    for norm in ("ocular", "pupil"):
        errors = metrics.image_errors(predictions, pack.picture_points, norm, known)
        values[f"val_nme_{norm}"] = metrics.nme(errors)
    unit = torch.from_numpy(geometry.to_unit(pack.points, PACK_SIZE)).to(predictor.device)
    points = warp_points(unit, plain_maps(len(unit), predictor.device))[:, known]
    with torch.inference_mode():
        predicted = torch.cat([predictor.model.points(o) for o in outputs])
        values["prediction_spread"] = float(_spread(predicted) / _spread(points))
        values |= predictor.model.instruments(outputs, points)
    return values


def _spread(points: Tensor) -> Tensor:
    """Root of the mean variance over faces: (n, K, 2) -> ()."""
    return points.double().var(dim=0, correction=0).mean().sqrt()


def collapsed(values: dict[str, float]) -> str | None:
    """Return why a model counts as collapsed, in one sentence, or None."""
    spread = values["prediction_spread"]
    if not np.isfinite(spread) or spread >= COLLAPSED:
        return None
    return (
        f"the predictions spread {spread:.3f} times as wide as the labels (less than {COLLAPSED}):"
        " every face gets nearly the same shape"
    )
