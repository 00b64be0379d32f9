"""Labels between those of people and those of models that never saw the face."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from drf.data.dataset import open_dataset
from drf.data.pts import format_pts, read_pts
from drf.data.w300 import W300, photo_of
from drf.errors import UsageError
from experiments.refined_labels import HELD_OUT, refine, refined_labels, split
from tests.data.made_up import write_face, write_folder

FACES, FOLDS = 40, 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path / "300w", "afw", FACES)
    return tmp_path / "300w"


@pytest.fixture
def folds(root: Path, tmp_path: Path) -> list[Path]:
    split(root, FOLDS, tmp_path / "folds")
    return [tmp_path / "folds" / str(fold) for fold in range(FOLDS)]


def faces(folder: Path, subset: str) -> set[str]:
    found = open_dataset("folder", folder).subset(subset).faces
    return {face.name.partition("/")[2].replace("__", "/") for face in found}


def predicted(fold: Path, folder: Path, moved: float) -> Path:
    """Predictions of the faces that a fold holds out: their labels, so many px further right."""
    place = folder / HELD_OUT
    place.mkdir(parents=True, exist_ok=True)
    for label in (fold / HELD_OUT).glob("*.pts"):
        text = format_pts(read_pts(label) + np.array([moved, 0.0]))
        (place / label.name).write_text(text, encoding="ascii")
    return folder


def test_every_training_photo_is_held_out_once_and_val_stays(root: Path, folds: list[Path]) -> None:
    train, val = ({f.name for f in W300(root).subset(s).faces} for s in ("train", "val"))
    held_out = [faces(fold, HELD_OUT) for fold in folds]
    assert sum(map(len, held_out)) == len(train)
    assert set.union(*held_out) == train
    assert sum(len({photo_of(name) for name in names}) for names in held_out) == len(
        {photo_of(name) for name in train}
    )
    for fold, names in zip(folds, held_out, strict=True):
        assert faces(fold, "train") == train - names
        assert faces(fold, "val") == val


def test_a_photo_that_stands_in_two_folders_is_held_out_as_one(tmp_path: Path) -> None:
    """AFW and Helen name photos by their Flickr number: LFPW's names are its own."""
    root = tmp_path / "300w"
    numbers = range(1000, 1000 + FACES)
    for name in (f"{folder}/{n}_1" for folder in ("afw", "helen/trainset") for n in numbers):
        write_face(root, name)
    split(root, FOLDS, tmp_path / "folds")
    photos = [
        {photo_of(name).rpartition("/")[2] for name in faces(tmp_path / "folds" / str(k), HELD_OUT)}
        for k in range(FOLDS)
    ]
    train = {photo_of(face.name).rpartition("/")[2] for face in W300(root).subset("train").faces}
    assert set.union(*photos) == train
    assert sum(map(len, photos)) == len(train)
    for number in train:  # as the hash says: what `val` leaves of the first 8 bytes
        rank = int(hashlib.sha256(number.encode()).hexdigest()[:16], 16)
        assert number in photos[rank // 10 % FOLDS]


def test_labels_move_towards_the_predictions_and_those_of_val_do_not(
    root: Path, folds: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "refined"
    shifted = [predicted(fold, tmp_path / f"of-{fold.name}", 0.2) for fold in folds]
    n, moved = refine(shifted, root, out)
    assert n == len(faces(out, "train"))
    assert faces(out, "val") == faces(folds[0], "val")
    refined = {path.stem: read_pts(path) for path in (out / "train").glob("*.pts")}
    given = {name: read_pts(root / f"{name.replace('__', '/')}.pts") for name in refined}
    for name, points in refined.items():
        np.testing.assert_allclose(points[30] - given[name][30], [0.05, 0], atol=2e-3)
    eyes = [np.linalg.norm(points[36] - points[45]) for points in given.values()]
    steps = [np.linalg.norm(refined[n] - given[n], axis=1).mean() for n in given]
    assert moved == pytest.approx(np.mean(np.divide(steps, eyes)), rel=1e-3)
    for name in faces(out, "val"):
        label = f"{name.replace('/', '__')}.pts"
        np.testing.assert_array_equal(
            read_pts(out / "val" / label), read_pts(folds[0] / "val" / label)
        )


def test_a_landmark_of_the_jaw_moves_along_it_and_a_wild_prediction_counts_less() -> None:
    given = np.random.default_rng(0).uniform(0, 100, (68, 2))
    given[:17] = np.stack([np.zeros(17), np.arange(17.0)], axis=1)  # the jaw goes straight down
    given[[36, 45]] = [[0, 0], [100, 0]]
    error = np.zeros((68, 2))
    error[3], error[8], error[30], error[60] = [4, 2], [0, 60], [1, -2], [30, 40]
    moved = refined_labels(given, given + error) - given
    np.testing.assert_allclose(moved[3], [0, 1])  # half of what lies along the jaw
    np.testing.assert_allclose(moved[8], [0, 3])  # half of 6 % of the ocular distance
    np.testing.assert_allclose(moved[30], [0.25, -0.5])
    np.testing.assert_allclose(moved[60], 0.25 * 6 * np.array([0.6, 0.8]))


def test_what_cannot_be_refined_is_one_sentence(
    root: Path, folds: list[Path], tmp_path: Path
) -> None:
    one = predicted(folds[0], tmp_path / "one", 0.1)
    with pytest.raises(UsageError, match="0 predictions; every face needs one"):
        refine([one], root, tmp_path / "refined")
    with pytest.raises(UsageError, match="2 predictions"):
        refine(
            [one, *(predicted(f, tmp_path / f"two-{f.name}", 0.1) for f in folds)],
            root,
            tmp_path / "refined",
        )
    assert not (tmp_path / "refined").exists()
    with pytest.raises(UsageError, match="exists"):
        split(root, FOLDS, tmp_path / "folds")
    for number in (-1, 0, 1, FACES * 5):
        with pytest.raises(UsageError, match=f"do not divide into {number} folds"):
            split(root, number, tmp_path / "other")
