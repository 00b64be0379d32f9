"""Evaluate a model on a packed subset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from drf.data.cache import Pack
from drf.overlay import encode_jpeg
from drf.prediction import Predictor, predict
from drf.results import Evaluation, FaceCrop


def evaluate(
    predictor: Predictor, pack: Pack, on_batch: Callable[[int], None] | None = None
) -> Evaluation:
    """Predict a subset; the errors of every normalisation follow from what is returned."""
    predicted = predict(predictor, pack, on_batch, covariances=True)
    return Evaluation(
        dataset=str(pack.manifest["dataset"]),
        subset=str(pack.manifest["subset"]),
        names=pack.names,
        ground_truth=pack.picture_points,
        predictions=predicted.points,
        points=predictor.model.frame.points,
        box=str(pack.manifest["box"]),
        flip_test=predictor.flip_test,
        manifest=pack.manifest,
        ms_per_face=predicted.ms_per_face,
        covariances=predicted.covariances,
    )


def face_crops(pack: Pack, positions: Iterable[int] | None = None) -> Iterator[FaceCrop]:
    """Yield the crops of all faces, or of those at some positions, as the store keeps them."""
    for i in range(len(pack.names)) if positions is None else positions:
        jpeg = encode_jpeg(np.asarray(pack.crops[i]))
        yield FaceCrop(pack.names[i], pack.picture_points[i], jpeg, pack.to_picture[i])
