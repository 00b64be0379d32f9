"""A folder of one's own: read, described wrongly, trained on, evaluated and shown."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from db import reads
from db.connection import open_reader
from drf.data.check import check_files
from drf.data.dataset import open_dataset
from drf.data.folder import FolderDataset
from drf.errors import DataError
from drf.landmarks.markup import MISSING
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import train_new_run
from tests.conftest import REPOSITORY
from tests.data.other_trees import (
    FIVE_TOML,
    face,
    write_cofw,
    write_csv_folder,
    write_dlib_folder,
    write_pts_face,
    write_pts_folder,
    write_wflw,
)
from tests.markups import FIVE

TINY = {
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 3,
    "data.input_size": 32,
    "training.epochs": 1,
    "training.batch_size": 2,
    "training.precision": "fp32",
}


def opened(root: Path) -> FolderDataset:
    dataset = open_dataset("folder", root)
    assert isinstance(dataset, FolderDataset)
    return dataset


def all_faces(dataset: FolderDataset) -> dict[str, np.ndarray]:
    return {f.name: f.points for s in dataset.subset_names() for f in dataset.subset(s).faces}


@pytest.mark.parametrize("kind", ["pts", "csv from 0", "csv from 1"])
def test_landmarks_come_back_as_they_were_written(tmp_path: Path, kind: str) -> None:
    if kind == "pts":
        write_pts_folder(tmp_path)
    else:
        write_csv_folder(tmp_path, first_pixel=int(kind[-1]))
    dataset = opened(tmp_path)
    found = all_faces(dataset)
    assert sorted(found) == [f"face{i}" for i in range(5)]
    for i in range(5):
        picture, points = face(i, FIVE)
        np.testing.assert_allclose(found[f"face{i}"], points, atol=1e-4)
        stored = next(f for f in dataset.subset("train").faces)
        assert dataset.picture(stored).shape == picture.shape
    assert dataset.name == dataset.markup.name == "mine"
    assert dataset.markup.flip == FIVE.flip
    assert dataset.markup.normalisers == {"ocular": ((0,), (1,))}
    assert dataset.markup.groups["mouth"] == (3, 4)
    assert dataset.markup.indices("lower").tolist() == [2, 3, 4]
    sizes = {name: len(dataset.subset(name).faces) for name in dataset.subset_names()}
    assert sizes == {"train": 3, "val": 1, "test": 1}
    assert not check_files(dataset).n_faults


@pytest.mark.parametrize("first_pixel", [0, 1])
@pytest.mark.parametrize("cell", ["", "0", "-1"])
def test_an_empty_cell_or_placeholder_is_a_missing_landmark(
    tmp_path: Path, cell: str, first_pixel: int
) -> None:
    write_csv_folder(tmp_path, first_pixel=first_pixel)
    path = tmp_path / "points.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    cells[5:7] = cell, cell
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    dataset = opened(tmp_path)
    (first,) = [f for s in dataset.subset_names() for f in dataset.subset(s).faces if "0" in f.name]
    assert np.isnan(first.points[2]).all()
    assert first.visibility is not None
    assert (first.visibility == MISSING).tolist() == [False, False, True, False, False]


def test_subsets_follow_lists_folders_and_shares(tmp_path: Path) -> None:
    for i in range(6):
        write_pts_face(tmp_path, f"a/p{i}", i)
        write_pts_face(tmp_path, f"b/q{i}", i)
    rules = '[subsets]\ntest={folder="b"}\nhard={list="hard.txt"}\nval={share=0.34, seed=1}\n'
    (tmp_path / "dataset.toml").write_text(FIVE_TOML + rules)
    (tmp_path / "hard.txt").write_text("# two of them\nb/q1\nb/q2.png\n")
    dataset = opened(tmp_path)
    assert dataset.subset_names()[:2] == ("train", "val")
    assert dataset.default_test_subset() == "test"
    assert {f.name for f in dataset.subset("hard").faces} == {"b/q1", "b/q2"}
    assert len(dataset.subset("test").faces) == 6
    train, val = ({f.name for f in dataset.subset(s).faces} for s in ("train", "val"))
    assert (len(train), len(val)) == (4, 2)
    assert train | val == {f"a/p{i}" for i in range(6)}
    assert opened(tmp_path).subset("val").faces[0].name in val


def test_faces_of_one_photo_stay_together(tmp_path: Path) -> None:
    for photo in range(4):
        for i in range(3):
            write_pts_face(tmp_path, f"photo{photo}_{i}", i)
    for i in range(4):  # the same names in another folder are the same photos
        write_pts_face(tmp_path, f"copy/photo{i}_0", i)
    for key in ("photo = '(.+)_[0-9]+'", ""):
        (tmp_path / "dataset.toml").write_text(key + FIVE_TOML)
        dataset = opened(tmp_path)
        where: dict[str, set[str]] = {}
        for subset in dataset.subset_names():
            for found in dataset.subset(subset).faces:
                where.setdefault(found.photo, set()).add(subset)
        assert len(where) == (4 if key else 12)
        assert all(len(subsets) == 1 for subsets in where.values())


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[markup]", "[markups]", "unknown key 'markups'; did you mean 'markup'?"),
        ("flip =", "flips =", "unknown key 'markup.flips'; did you mean 'flip'?"),
        ("displayed =", "#", None),
        ('displayed = ["nose"]', 'displayed = ["nos"]', "no landmark 'nos'; did you mean 'nose'?"),
        ('displayed = ["nose"]', "displayed = [5]", "landmark 5: use a name, or 0..4"),
        ("ocular", "oculer", "'markup.normalisers.oculer'; did you mean 'ocular'?"),
        ('name = "mine"', "", "the key name is missing: give a text in quotes"),
        ('name = "mine"', 'name = "300w"', "which drf calls another dataset"),
        ('name = "mine"', 'name = "a/b"', "use letters, digits"),
        ('name = "mine"', 'name = "mine"\nlabels = "../x.csv"', "name a file in the folder"),
        ("flip =", "closed = ['moth']\nflip =", "no group 'moth'; did you mean 'mouth'?"),
        ('"left_eye"], ["right', '"left_eye"], ["left_eye", "right', "pair of two landmarks"),
        ('["right_eye", "left_eye"],', "", None),
        ('"right_eye", "left_eye", "nose"', '"left_eye", "left_eye", "nose"', "has a name twice"),
        ("[markup.subsets]", "[subsets]\nval={share=2.0}\n[markup.subsets]", "below 1"),
        ("[markup.subsets]", "[subsets]\nval={part=2}\n[markup.subsets]", "needs one of"),
        ("[markup.subsets]", '[subsets]\nt={list="../x"}\n[markup.subsets]', "in the folder"),
        ("[markup.subsets]", '[subsets]\nt={list="gone"}\n[markup.subsets]', "gone cannot be read"),
        ("[markup.subsets]", '[subsets]\nt={folder="x"}\n[markup.subsets]', "t of mine has no"),
        ("[markup]", "[markup", "is not valid TOML"),
    ],
)
def test_a_wrong_description_is_one_sentence(
    tmp_path: Path, old: str, new: str, sentence: str | None
) -> None:
    assert old in FIVE_TOML
    write_pts_folder(tmp_path, toml=FIVE_TOML.replace(old, new, 1))
    if sentence is None:
        opened(tmp_path)
        return
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_description_says_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no dataset.toml.*docs/datasets.md"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name,x0,y0", "file,x0,y0", "its first line must be name,x0,y0,...,x4,y4"),
        ("face1.png", "face0", "a second row for 'face0'"),
        ("face1.png", "../face1.png", "no picture in the folder"),
    ],
)
def test_a_csv_of_another_form_is_refused(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = write_csv_folder(tmp_path) / "points.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=sentence):
        opened(tmp_path)


def test_the_check_names_each_unusable_face(tmp_path: Path) -> None:
    path = write_csv_folder(tmp_path) / "points.csv"
    header, *rows = path.read_text().splitlines()
    rows[0] = rows[0].rpartition(",")[0]
    rows[1] = "gone" + rows[1][5:]
    path.write_text("\n".join([header, *rows]))
    (tmp_path / "face2.png").write_bytes(b"no picture")
    report = check_files(opened(tmp_path))
    malformed = {k: v for s in report.subsets for k, v in s.malformed.items()}
    unreadable = {k: v for s in report.subsets for k, v in s.unreadable.items()}
    assert malformed == {"face0": "line 2 of points.csv holds 9 numbers instead of 10"}
    assert list(unreadable) == ["face2"]
    assert [m for s in report.subsets for m in s.missing] == ["gone: its picture is missing"]


def test_the_check_finds_wrong_mirror_pairs(tmp_path: Path) -> None:
    assert check_files(opened(write_pts_folder(tmp_path / "right"))).markup is None
    pair = ', ["right_corner", "left_corner"]'
    root = write_pts_folder(tmp_path / "wrong", toml=FIVE_TOML.replace(pair, ""))
    report = check_files(opened(root))
    assert report.n_faults == 1
    assert report.markup is not None
    assert "mouth, " in report.markup
    assert "look at the pairs of flip" in report.markup


def test_changed_landmarks_make_another_fingerprint(tmp_path: Path) -> None:
    write_csv_folder(tmp_path)
    before = opened(tmp_path).fingerprint("train")
    assert opened(tmp_path).fingerprint("train") == before
    path = tmp_path / "dataset.toml"
    path.write_text(path.read_text().replace("first_pixel = 0", "first_pixel = 1"))
    assert opened(tmp_path).fingerprint("train") != before


TREES = {
    "folder": (write_pts_folder, "mine", "mine", 1),
    "imglab": (write_dlib_folder, "mine", "mine", 1),
    "wflw": (write_wflw, "wflw", "wflw98", 10),
    "cofw": (write_cofw, "cofw", "cofw29", 10),
}
"""Kind -> what writes it, name of the dataset, its markup, its test faces."""


@pytest.mark.parametrize("tree", TREES)
def test_it_trains_evaluates_and_shows(
    tmp_path: Path, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five-face folders with a 5-point description, and trees of 50 made-up faces of WFLW and
    COFW."""
    if tree == "cofw":
        pytest.importorskip("h5py")
    write, name, markup, faces = TREES[tree]
    root, kind = write(tmp_path / "in"), "folder" if name == "mine" else name
    paths = Paths(tmp_path / "drf.db", root, None, tmp_path / "cache")
    request = Request("cascade-forest", options=TINY | {"data.dataset": kind})
    run = train_new_run(request, paths).run
    evaluate_run(run, EvaluationSpec(None), paths)
    with contextlib.closing(open_reader(paths.db)) as con:
        (row,) = reads.leaderboard(con).to_dict("records")
        assert (row["dataset"], row["subset"], row["markup"]) == (name, "test", markup)
        assert row["n"] == faces
        assert np.isfinite(row["ocular_nme"])
    other = write_csv_folder(tmp_path / "other", toml=FIVE_TOML.replace("mine", "other"))
    if tree == "folder":
        elsewhere = Paths(paths.db, other, None, paths.cache)
        with pytest.raises(
            DataError, match="5 landmarks of the markup 'mine', but the faces of oth"
        ):
            evaluate_run(run, EvaluationSpec(None), elsewhere)
    monkeypatch.setenv("DRF_DB", str(paths.db))
    # tests/test_any_markup.py opens every page with both numbers of landmarks.
    for page, parameters in ((None, {}), ("views/images.py", {"img_runs": run[:8]})):
        app = AppTest.from_file(str(REPOSITORY / "webapp/app.py"), default_timeout=60)
        for key, value in parameters.items():
            app.query_params[key] = value
        if page is not None:
            app.switch_page(page)
        app.run()
        assert not app.exception, (page, app.exception)
        assert not [e.value for e in app.error], (page, [e.value for e in app.error])
