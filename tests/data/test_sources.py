import importlib.util

import numpy as np
import pytest

from drf.data.dataset import DATASETS, open_dataset
from drf.data.synthetic_dataset import SIZES, SyntheticDataset
from drf.data.w300 import W300
from drf.errors import DataError, UsageError
from tests.data.made_up import write_folder
from tests.data.other_trees import write_cofw, write_csv_folder, write_wflw


def test_every_dataset_opens_by_its_name(tmp_path):
    """Here in one folder, which holds files of all of them."""
    write_folder(tmp_path, "afw", 1)
    write_wflw(tmp_path, 2, 2)
    write_csv_folder(tmp_path)
    if importlib.util.find_spec("h5py"):
        write_cofw(tmp_path, 2, 2)
    for name in DATASETS:
        if name == "cofw" and not importlib.util.find_spec("h5py"):
            continue
        opened = open_dataset(name, tmp_path)
        assert opened.name == (name if name != "folder" else "mine")
        assert opened.subset("train").faces[0].points.shape == (opened.markup.n_points, 2)


def test_300w_takes_its_root_from_the_option_then_from_the_variable(tmp_path, monkeypatch):
    write_folder(tmp_path / "a", "afw", 1)
    write_folder(tmp_path / "b", "afw", 1)
    monkeypatch.setenv("DRF_DATA", str(tmp_path / "a"))
    chosen = open_dataset("300w", tmp_path / "b")
    fallback = open_dataset("300w")
    assert isinstance(chosen, W300)
    assert isinstance(fallback, W300)
    assert (chosen.root, fallback.root) == (tmp_path / "b", tmp_path / "a")
    monkeypatch.delenv("DRF_DATA")
    with pytest.raises(UsageError, match=r"--data-root, or set the variable DRF_DATA"):
        open_dataset("300w")


def test_an_unknown_dataset_names_the_known():
    with pytest.raises(UsageError, match=r"'coco': use one of synthetic, 300w"):
        open_dataset("coco")


def test_synthetic_sizes_and_names():
    dataset = SyntheticDataset(size=12)
    assert dataset.subset_names() == tuple(SIZES)
    assert [face.name for face in dataset.subset("train").faces] == [
        f"train/{i:05d}" for i in range(12)
    ]
    assert len(dataset.subset("challenging").faces) == SIZES["challenging"]
    with pytest.raises(DataError, match="use one of train, val, common, challenging"):
        dataset.subset("full")
    with pytest.raises(UsageError, match="size >= 1"):
        SyntheticDataset(size=0)
    with pytest.raises(UsageError, match="seed >= 0"):
        SyntheticDataset(seed=-1)


def test_synthetic_points_belong_to_the_pictures_rendered_in_bulk():
    dataset = SyntheticDataset(seed=5, size=33)
    faces = dataset.subset("train").faces
    in_bulk = list(dataset.pictures(faces))  # in other processes
    assert len(in_bulk) == 33
    for face, picture in list(zip(faces, in_bulk, strict=True))[::8]:
        np.testing.assert_array_equal(dataset.picture(face), picture)
        assert ((face.points > -0.5) & (face.points < 255.5)).all()


def test_synthetic_faces_are_known_by_name_and_told_apart_by_recipe():
    dataset = SyntheticDataset(size=12)
    face = dataset.subset("train").faces[3]
    assert dataset.has_face("train/00011")
    for name in ("train/00012", "train/11", "train/000-1", "test/00001", "train"):
        assert not dataset.has_face(name)
    assert dataset.source(face) != SyntheticDataset(seed=1).source(face)
    assert dataset.fingerprint("train") != SyntheticDataset(seed=1, size=12).fingerprint("train")
    assert dataset.fingerprint("train") != SyntheticDataset().fingerprint("train")
    assert dataset.fingerprint("val") == SyntheticDataset().fingerprint("val")
