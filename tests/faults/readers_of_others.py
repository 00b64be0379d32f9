"""The readers of files that other programs write, each with a valid file: datasets as they are
published, archives, boxes, predictions; and of what users write or pass on for drf: descriptions,
grids, models."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.data import other_trees
from tests.data.made_up import picture_of, points_of
from tests.faults.readers import Reader


def others_readers() -> dict[str, Reader]:
    return {
        "COFW": _checked("cofw", "COFW_train_color.mat", lambda f: other_trees.write_cofw(f, 3, 1)),
        "WFLW's list": _checked("wflw", _WFLW_LIST, lambda f: other_trees.write_wflw(f, 3, 2)),
        "dlib's XML": _checked("folder", "train.xml", other_trees.write_dlib_folder),
        "CSV of landmarks": _checked("folder", "points.csv", other_trees.write_csv_folder),
        "dataset.toml": _checked("folder", "dataset.toml", other_trees.write_csv_folder),
        ".mat boxes": _mat_boxes(compressed=False),
        ".mat boxes, compressed": _mat_boxes(compressed=True),
        "zip archive": _archive("faces.zip", _zip),
        "tar.gz archive": _archive("faces.tar.gz", _tar),
        "predictions: csv": _predictions("csv"),
        "predictions: json": _predictions("json"),
        "predictions: SPIGA's json": _predictions("json", _spiga),
        "predictions: npz": _predictions("npz"),
        "grid of a sweep": _grid(),
        "ONNX file": _onnx(),
    }


_WFLW_LIST = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt"


def _checked(dataset: str, file: str, write: Callable[[Path], object]) -> Reader:
    """A file of a dataset, read as `drf data check` does; that faces are missing is no refusal."""
    from drf.data.check import check_files
    from drf.data.dataset import open_dataset
    from drf.data.file_dataset import FileDataset

    def read(folder: Path) -> None:
        opened = open_dataset(dataset, folder / "faces")
        assert isinstance(opened, FileDataset)
        check_files(opened)

    return Reader(f"faces/{file}", lambda folder: write(folder / "faces"), read)


def _mat_boxes(*, compressed: bool) -> Reader:
    from drf.data.mat_boxes import read_mat_boxes
    from tests.data.test_mat_boxes import write_boxes

    file, names = "bounding_boxes_helen_testset.mat", [f"{i}_1" for i in range(3)]

    def read(folder: Path) -> None:
        boxes = read_mat_boxes(folder / file, "detector")
        assert np.isfinite(list(boxes.values())).all()

    return Reader(file, lambda f: write_boxes(f / file, names, compressed=compressed), read)


def _archive(file: str, write: Callable[[Path], object]) -> Reader:
    """An archive is unpacked into a folder of its own; beside it nothing may be written."""
    from drf.data.archives import unpack

    def read(folder: Path) -> None:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        try:
            unpack(folder / file, out)
        finally:
            assert sorted(path.name for path in folder.iterdir()) == sorted([file, "out"])

    return Reader(file, lambda folder: write(folder / file), read)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _FILES.items():
            archive.writestr(name, text)


def _tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in _FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


_FILES = {"afw/1_1.pts": "version: 1\n" * 30, "afw/1_1.jpg": "1 2 3 4\n" * 40, "README": "faces"}


def _predictions(kind: str, write: Callable[[Path], object] | None = None) -> Reader:
    """Predictions of four faces, read and brought into the order of the dataset's."""
    from drf.data.prediction_files import of_faces, read_predictions, write_predictions
    from drf.landmarks.markup import ALL, IBUG68

    names = [f"afw/{i}" for i in range(4)]
    points = np.stack([points_of(name) for name in names]).astype(np.float32)
    file = f"predictions.{kind}"

    def make(folder: Path) -> None:
        if write:
            write(folder / file)
        else:
            write_predictions(folder / file, kind, names, points)

    def read(folder: Path) -> None:
        rows = read_predictions(folder / file)
        found, _ = of_faces(rows, names, lambda name: False, IBUG68, ALL)
        assert found.shape == points.shape
        assert np.isfinite(found).all()

    return Reader(file, make, read)


def _spiga(path: Path) -> None:
    from tests.cli.test_imports import spiga_file

    names = [f"afw/{i}" for i in range(4)]
    spiga_file(path, names, np.stack([points_of(name) for name in names]))


def _grid() -> Reader:
    from experiments.sweeps.grid import load

    text = """
name = "mine"
preset = "cnn-heatmap"
dataset = "synthetic"
epochs = 12
seeds = [0, 1]
[factors]
data.input_size = [64, 96]
training.lr = [3e-3, 1e-3]
[settings]
augment.rotation = 12.5
[[exclude]]
data.input_size = 64
training.lr = 1e-3
"""

    def read(folder: Path) -> None:
        load(str(folder / "grid.toml")).jobs()

    return Reader("grid.toml", lambda folder: (folder / "grid.toml").write_text(text), read)


def _onnx() -> Reader:
    """A model that finds the landmarks of a picture."""
    import drf as library
    from tests.onnx_files import write_model

    def read(folder: Path) -> None:
        align = library.load(folder / "model.onnx")
        (face,) = align(picture_of("any"), [[4, 4, 40, 40]])
        assert face.landmarks.shape == (align.markup.n_points, 2)

    return Reader("model.onnx", lambda folder: write_model(folder / "model.onnx"), read)
