"""XML files of dlib's imglab, in a folder with a description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.data import app
from drf.data.boxes import read_box_file
from drf.data.dataset import open_dataset
from drf.data.folder import FolderDataset
from drf.errors import DataError
from drf.landmarks.markup import IBUG68
from tests.data.made_up import picture_of, points_of, write_picture
from tests.data.other_trees import (
    DLIB_TOML,
    face,
    write_dlib_folder,
    write_xml,
    xml_box,
)
from tests.markups import FIVE

NAMES = ["right_eye", "left_eye", "nose", "right_corner", "left_corner"]


def opened(root: Path) -> FolderDataset:
    dataset = open_dataset("folder", root)
    assert isinstance(dataset, FolderDataset)
    return dataset


def drf(*words: object) -> int:
    """Run `drf data` and return its exit code."""
    return CliRunner().invoke(app, [str(word) for word in words]).exit_code


def test_faces_come_back_as_they_were_written(tmp_path: Path) -> None:
    root = write_dlib_folder(tmp_path / "in", 4, 1)
    dataset = opened(root)
    assert [found.name for found in dataset.subset("test").faces] == ["faces/4"]
    assert len(dataset.subset("train").faces) + len(dataset.subset("val").faces) == 4
    for found in dataset.subset("test").faces:
        points = face(int(found.name[-1]), FIVE)[1]
        np.testing.assert_array_equal(found.points, points.round())
    assert drf("check", root, "--dataset", "folder") == 0
    boxes = tmp_path / "boxes.csv"
    assert drf("boxes", "--dataset", "folder", "--data-root", root, "--out", boxes) == 0
    truth = dataset.subset("test").faces
    points = np.stack([found.points for found in truth])
    squares = read_box_file(boxes, [found.name for found in truth], dataset.has_face, points)
    assert np.isfinite(squares).all()


def test_dlibs_own_file_of_68_points_needs_three_lines(tmp_path: Path) -> None:
    images = []
    for name in ("afw/1_1", "afw/1_1_mirror", "afw/2_1"):
        write_picture(tmp_path / f"{name}.jpg", picture_of(name))
        boxes = [xml_box(points_of(name), [f"{k:02d}" for k in range(68)])]
        images.append((f"{name}.jpg", boxes))
    write_xml(tmp_path / "labels_ibug_300W_train.xml", images)
    (tmp_path / "dataset.toml").write_text(
        'name = "dlib300w"\nmarkup = "ibug68"\nlabels = "labels_ibug_300W_train.xml"\n'
        "photo = '(.+?)(?:_mirror)?$'\n[subsets]\nval = { share = 0.5 }\n"
    )
    dataset = opened(tmp_path)
    assert dataset.markup == IBUG68
    found = {f.name: f for s in ("train", "val") for f in dataset.subset(s).faces}
    np.testing.assert_allclose(found["afw/2_1"].points, points_of("afw/2_1"), atol=1e-4)
    assert found["afw/1_1"].photo == found["afw/1_1_mirror"].photo == "1_1"


@pytest.mark.parametrize("placeholder", [np.nan, 0, -1])
def test_parts_have_names_several_faces_and_may_be_missing(
    tmp_path: Path, placeholder: float
) -> None:
    write_dlib_folder(tmp_path, 2, 1)
    points = face(0, FIVE)[1]
    lacking = points.copy()
    lacking[2] = placeholder
    boxes = [xml_box(points, NAMES), xml_box(lacking, NAMES), xml_box(points, NAMES, " ignore='1'")]
    write_xml(tmp_path / "train.xml", [("faces\\\\0.jpg".replace("\\\\", "\\"), boxes)])
    (tmp_path / "dataset.toml").write_text(DLIB_TOML + "val = { folder = 'faces' }\n")
    entries = opened_without_val(tmp_path)
    assert set(entries) == {"faces/0", "faces/0~2", "faces/2"}
    second = entries["faces/0~2"].face
    assert second is not None
    assert second.photo == "0"
    assert np.isnan(second.points[2]).all()
    assert np.isfinite(second.points[[0, 1, 3, 4]]).all()


def opened_without_val(root: Path) -> dict:
    """The entries of a folder with too few photos for a share."""
    (root / "dataset.toml").write_text(DLIB_TOML + "val = { labels = 'test.xml' }\n")
    return dict(opened(root).entries)


GOOD = xml_box(face(0, FIVE)[1], ["0", "1", "2", "3", "4"])
FAULTY = {
    "a part that the markup lacks": (
        GOOD.replace("name='4'", "name='5'"),
        "the part '5', which is",
    ),
    "a part that is no number": (GOOD.replace("name='4'", "name='chin'"), "the part 'chin'"),
    "a part twice": (GOOD.replace("name='4'", "name='3'"), "the part '3' twice"),
    "no parts": (xml_box(face(0, FIVE)[1], NAMES)[:60].split("\n")[0] + "</box>", "none of its 5"),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_faults_cost_their_own_face(tmp_path: Path, kind: str) -> None:
    box, said = FAULTY[kind]
    write_dlib_folder(tmp_path, 3, 1)
    write_xml(tmp_path / "train.xml", [("faces/0.jpg", [GOOD]), ("faces/1.jpg", [box])])
    entry = opened_without_val(tmp_path)["faces/1"]
    assert entry.face is None
    assert said in entry.fault
    assert "of train.xml" in entry.fault


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;">]><dataset><images><image file="&c;"/></images></dataset>'
)
READS_A_FILE = (
    '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    '<dataset><images><image file="&a;"/></images></dataset>'
)
REFUSED = {
    "bomb": (BOMB, "has a document type"),
    "outside": (READS_A_FILE, "has a document type"),
    "no XML": ("name,x0,y0\n", "line 1: not an XML file"),
    "empty": ("", "not an XML file"),
    "cut off": ("<dataset><images><image file='a.jpg'>", "not an XML file"),
    "another XML": ("<html><body/></html>", "is no XML file of imglab"),
    "deep": ("<dataset>" * 40 + "<image/>", "its elements are too deep"),
    "no file": ("<dataset><image><box/></image></dataset>", "an element lacks file"),
    "no box": (
        "<dataset><image file='a.jpg'><box top='1'/></image></dataset>",
        "an element lacks left",
    ),
    "no number": (
        "<dataset><image file='a.jpg'><box left='?' top='1' width='2' height='2'/></image>"
        "</dataset>",
        "left is '?'",
    ),
    "NaN": (
        "<dataset><image file='a.jpg'><box left='nan' top='1' width='2' height='2'/></image>"
        "</dataset>",
        "left is 'nan', which is no place",
    ),
    "encoding": ("<?xml version='1.0' encoding='klingon'?><dataset/>", "train.xml"),
    "elsewhere": (
        "<dataset><image file='../../etc/passwd'><box left='1' top='1' width='2' height='2'/>"
        "</image></dataset>",
        "is no picture in the folder",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, kind: str) -> None:
    text, said = REFUSED[kind]
    write_dlib_folder(tmp_path, 2, 1)
    (tmp_path / "train.xml").write_text(text)
    with pytest.raises(DataError, match=said.replace("?", r"\?")) as refused:
        opened(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_picture_in_two_files_is_refused(tmp_path: Path) -> None:
    write_dlib_folder(tmp_path, 2, 1)
    (tmp_path / "test.xml").write_text((tmp_path / "train.xml").read_text())
    with pytest.raises(DataError, match="is in two files of labels"):
        opened(tmp_path)


def test_a_subset_names_one_of_the_files(tmp_path: Path) -> None:
    write_dlib_folder(
        tmp_path, 2, 1, DLIB_TOML.replace('labels = "test.xml"', 'labels = "tset.xml"')
    )
    with pytest.raises(DataError, match=r"subsets.test.labels is 'tset.xml'.*test\.xml"):
        opened(tmp_path)
