"""From crops to landmarks in picture coordinates, with or without the flip test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drf import errors
from drf.data.augment import identity_affines, unwarp_points, warp
from drf.data.crops import encode_jpeg
from drf.data.packs import CONTEXT, PACK_SIZE, Pack, evaluation_on
from drf.errors import DataError, Diverged
from drf.hardware import autocast
from drf.landmarks import geometry
from drf.landmarks.markup import ALL, MAPS, SHARED, Map, Markup, convert, sources
from drf.models.base import InputSpec, LandmarkModel
from drf.pictures import FaceCrop
from drf.scoring.results import Evaluation

BATCH = 32


@dataclass(frozen=True)
class Predictor:
    """A model with the device and precision it computes in.

    flip_test: average the prediction with that of the mirrored picture, mirrored back.
    """

    model: LandmarkModel
    device: torch.device
    precision: str
    flip_test: bool = False

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> tuple[Any, ...]:
        """Return what the model returns for (B, 3, S, S) images in 0..1 on the device; with the
        flip test also for the mirrored images."""
        pair = (images, images.flip(3)) if self.flip_test else (images,)
        with autocast(self.device, self.precision):
            return tuple(self.model(seen) for seen in pair)

    @torch.inference_mode()
    def points(self, outputs: tuple[Any, ...]) -> Tensor:
        """Return (B, K, 2) float32 unit box of what `outputs` returned."""
        points = self.model.points(outputs[0]).float()
        if not self.flip_test:
            return points
        mirrored = self.model.points(outputs[1]).float()[:, self._flip]
        mirrored[..., 0] = 1 - mirrored[..., 0]
        return (points + mirrored) / 2

    @torch.inference_mode()
    def covariances(self, outputs: tuple[Any, ...]) -> Tensor | None:
        """Return (B, K, 2, 2) float32 squared unit box of what `outputs` returned, or None.

        Those of a face and its mirror image are averaged as if the two predictions erred alike,
        which they nearly do: independent errors would halve them. Mirroring turns the sign of xy.
        They are corrected by the model's `recalibrations`.
        """
        found = [self.model.covariances(one) for one in outputs]
        if found[0] is None:
            return None
        correct, spec = self.model.recalibrations, self.model.spec
        if len(found) == 1:
            return correct.single(found[0].float(), spec)
        mirrored = found[1].float()[:, self._flip]  # type: ignore[union-attr]
        signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], device=mirrored.device)
        return correct.flip_test((found[0].float() + mirrored * signs) / 2, spec)

    def unit_points(self, images: Tensor) -> Tensor:
        """Return (B, K, 2) float32 unit box for (B, 3, S, S) images in 0..1 on the device."""
        return self.points(self.outputs(images))

    @property
    def _flip(self) -> np.ndarray:
        spec = self.model.spec
        return spec.markup.flip_permutation(spec.landmarks)


class PredictorNetwork:
    """A predictor as the network of a `drf.inference.alignment.Aligner`; by itself it rejects no
    face."""

    def __init__(self, predictor: Predictor, largest_error: float = math.inf) -> None:
        self.predictor = predictor
        spec = predictor.model.spec
        self.input_size, self.markup = spec.input_size, spec.markup
        self.landmarks, self.largest_error = spec.landmarks, largest_error

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As `drf.inference.alignment.Network`."""
        images = torch.from_numpy(crops).to(self.predictor.device).permute(0, 3, 1, 2)
        outputs = self.predictor.outputs(images.float().div_(255))
        spread = self.predictor.covariances(outputs)
        points = self.predictor.points(outputs).cpu().numpy()
        return points, None if spread is None else spread.cpu().numpy()


@dataclass(frozen=True)
class Predictions:
    """points       (n, K, 2) float32 picture px, NaN at the landmarks the model does not know
    ms_per_face  milliseconds of the model alone, without covariances
    covariances  (n, K, 2, 2) float32 squared picture px, NaN likewise; None where the model does
                 not say or was not asked
    """

    points: np.ndarray
    ms_per_face: float
    covariances: np.ndarray | None = None


def predict(
    predictor: Predictor,
    pack: Pack,
    on_batch: Callable[[int], None] | None = None,
    on_outputs: Callable[[Any], None] | None = None,
    *,
    covariances: bool = False,
) -> Predictions:
    """Predict every face of a pack: the landmarks of the model's markup, whichever the pack has.

    on_batch hears the number of faces done, on_outputs what the model returned for each batch of
    unmirrored pictures. covariances: whether to ask for them. Raises Diverged for predictions that
    are not finite.
    """
    size, n = predictor.model.spec.input_size, len(pack.names)
    known = predictor.model.spec.indices
    points = np.full((n, predictor.model.spec.markup.n_points, 2), np.nan, dtype=np.float32)
    spreads: list[np.ndarray] = []
    seconds = 0.0
    for first in range(0, n, BATCH):
        rows = slice(first, first + BATCH)
        crops = torch.from_numpy(np.array(pack.crops[rows])).to(predictor.device)
        maps = identity_affines(len(crops), predictor.device)
        images = warp(crops, maps, size)
        started = time.perf_counter()
        outputs = predictor.outputs(images)
        unit = unwarp_points(predictor.points(outputs), maps).cpu().numpy()
        seconds += time.perf_counter() - started
        crop_px = geometry.from_unit(unit.astype(np.float64), PACK_SIZE)
        points[rows, known] = geometry.apply(pack.to_picture[rows], crop_px)
        if on_outputs:
            on_outputs(outputs[0])
        spread = predictor.covariances(outputs) if covariances else None
        if spread is not None:
            spreads.append(_in_picture(spread.cpu().numpy(), pack.to_picture[rows]))
        if on_batch:
            on_batch(min(first + BATCH, n))
    _check_finite(points[:, known])
    in_picture = None
    if spreads:
        in_picture = np.full((*points.shape, 2), np.nan, dtype=np.float32)
        in_picture[:, known] = np.concatenate(spreads)
    return Predictions(points, 1000 * seconds / n, in_picture)


def _check_finite(points: np.ndarray) -> None:
    """Raise Diverged where a prediction is no number: (n, K, 2)."""
    wrong = int((~np.isfinite(points)).any(axis=(1, 2)).sum())
    if wrong:
        raise Diverged(f"the predictions for {wrong} of {len(points)} faces were not finite")


def _in_picture(covariances: np.ndarray, to_picture: np.ndarray) -> np.ndarray:
    """S -> J S J^T, J from the unit box to picture px. (B, K, 2, 2), (B, 2, 3) -> (B, K, 2, 2)."""
    jacobian = to_picture[:, None, :, :2] * PACK_SIZE / CONTEXT
    return jacobian @ covariances @ jacobian.swapaxes(-1, -2)


def map_to(spec: InputSpec, faces: Markup, dataset: str) -> Map | None:
    """Return by which map a model's landmarks become those of the faces of a dataset; None where
    they are the same.

    Definitions of one name may differ in what was added to them later, such as normalisers. Raises
    DataError where there is no map, and for a model of a landmark subset, which a map needs more
    than.
    """
    known = spec.markup
    if (known.name, known.flip) == (faces.name, faces.flip):
        return None
    of = MAPS.get((known.name, faces.name))
    if of is None:
        judged = ", ".join(sources(faces.name))
        raise DataError(
            f"the model was trained on the {known.n_points} landmarks of the markup {known.name!r},"
            f" but the faces of {dataset} have the {faces.n_points} of {faces.name!r}, and drf"
            " knows no map between the two: name the folder of the right dataset with --data-root"
            + (f", or take a model of {judged}" if judged else "")
        )
    if spec.landmarks != ALL:
        raise DataError(
            f"the model was trained on the landmark subset {spec.landmarks!r} of {known.name!r}:"
            f" only models of all landmarks are judged on those of {faces.name!r}"
        )
    return of


def evaluate(
    predictor: Predictor, pack: Pack, on_batch: Callable[[int], None] | None = None
) -> Evaluation:
    """Predict a subset; the errors of every normalisation follow from what is returned.

    Where the faces have other landmarks than the model, those that both markups share are judged:
    the landmark subset `shared-MARKUP` (`drf.landmarks.markup.MAPS`). Raises DataError as `map_to`.
    """
    spec = predictor.model.spec
    of = map_to(spec, pack.markup, str(pack.manifest["dataset"]))
    size = predictor.model.spec.input_size
    what = f"evaluating {BATCH} faces of {size} px at a time on {predictor.device}"
    remedy = "take another --device, or --no-flip-test, which needs half"
    with errors.enough_memory(what, remedy):
        predicted = predict(predictor, pack, on_batch, covariances=True)
    points, covariances, landmarks = predicted.points, predicted.covariances, spec.landmarks
    if of is not None:
        n, landmarks = pack.markup.n_points, SHARED + spec.markup.name
        points = convert(points, of, n)
        covariances = None if covariances is None else convert(covariances, of, n)
    return evaluation_on(
        pack,
        points,
        landmarks=landmarks,
        flip_test=predictor.flip_test,
        ms_per_face=predicted.ms_per_face,
        covariances=covariances,
        precision=predictor.precision,
    )


def face_crops(pack: Pack, positions: Iterable[int] | None = None) -> Iterator[FaceCrop]:
    """Yield the crops of all faces, or of those at some positions, as the store keeps them."""
    for i in range(len(pack.names)) if positions is None else positions:
        jpeg = encode_jpeg(np.asarray(pack.crops[i]))
        seen = None if pack.visibility is None else pack.visibility[i]
        yield FaceCrop(pack.names[i], pack.picture_points[i], jpeg, pack.to_picture[i], seen)
