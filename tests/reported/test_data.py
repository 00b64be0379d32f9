"""What users of such tools reported of their files, tried on made-up faces.

Each docstring names the thread where somebody met the situation.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from drf.data import picture_files
from drf.data.boxes import gt_boxes, read_box_file
from drf.data.check import check_dataset
from drf.data.crops import cut
from drf.data.packs import pack
from drf.data.pts import parse_pts, read_pts
from drf.data.w300 import TEST_SIZES, W300, in_val, photo_of
from drf.errors import DataError
from drf.landmarks.markup import IBUG68, MISSING, VISIBLE
from drf.scoring import scores
from tests.data.made_up import picture_of, points_of, pts_text, write_face, write_folder

FACES = 40


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_folder(tmp_path, "afw", FACES)
    return tmp_path


def of_train_and_val(root: Path) -> dict[str, dict]:
    """Every finding of the check on train and val by kind, faults by face."""
    found = {s.subset: s for s in check_dataset(root).subsets}
    kinds = ("unreadable", "malformed", "odd_labels")
    return {kind: getattr(found["train"], kind) | getattr(found["val"], kind) for kind in kinds}


def test_a_name_that_is_no_utf8_costs_one_face(tree: Path) -> None:
    """yinguobing/cnn-facial-landmark#26, hooram/ownphotos#112, arsenetar/dupeguru#335"""
    for suffix in (b".jpg", b".pts"):
        source = os.fsencode(tree / "afw/1000_1") + suffix
        target = os.fsencode(tree / "afw") + b"/caf\xe9_1" + suffix
        Path(os.fsdecode(source)).rename(os.fsdecode(target))
    dataset = W300(tree)
    subsets = [dataset.subset(name) for name in ("train", "val")]
    assert sum(len(subset.faces) for subset in subsets) == FACES - 1
    (skipped,) = [subset.skipped for subset in subsets if subset.skipped]
    assert skipped == {r"afw/caf\xe9_1": "its name is not UTF-8; rename it"}
    for subset in subsets:
        dataset.fingerprint(subset.name)
    missing = [phrase for s in check_dataset(tree).subsets[:2] for phrase in s.missing]
    assert missing == [r"afw/caf\xe9_1: its name is not UTF-8; rename it"]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    import struct
    import zlib

    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    length, crc = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + crc


@pytest.mark.parametrize("size", [(40_000, 40_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_claims_a_huge_picture_is_that_files_fault(
    tree: Path, size: tuple[int, int]
) -> None:
    """opencv/opencv#15829: more than 2^30 pixels; 900 million take gigabytes before they fail."""
    (tree / "afw/1003_1.jpg").write_bytes(png_header(*size))
    assert list(of_train_and_val(tree)["unreadable"]) == ["afw/1003_1"]
    with pytest.raises(
        DataError, match=r"1003_1\.jpg (is \d+ x \d+ pixels|cannot be decoded|is trunc)"
    ):
        picture_files.decode_picture(tree / "afw/1003_1.jpg")


def test_a_face_of_a_very_wide_picture_is_cut_as_from_a_small_one() -> None:
    """iacopomasi/face_specific_augm#34, zyddnys/manga-image-translator#168: 32767 px a side"""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (80, 300, 3), dtype=np.uint8)
    wide = np.zeros((80, 33_000, 3), dtype=np.uint8)
    wide[:, 32_700:] = part
    for x, y, side in ((150.0, 40.0, 60.0), (290.0, 10.0, 90.0), (295.0, 75.0, 40.0)):
        expected = cut(part, np.array([x, y, side]), 32)
        np.testing.assert_array_equal(cut(wide, np.array([32_700 + x, y, side]), 32), expected)
    with pytest.raises(DataError, match="larger than can be cut"):
        cut(wide, np.array([16_000.0, 40.0, 40_000.0]), 32)


def test_links_to_nothing_and_pipes_cost_one_face_each(tree: Path) -> None:
    """treeverse/dvc#3717, treeverse/dvc#9891, open-mmlab/mmdetection#6779"""
    (tree / "afw/1001_1.jpg").unlink()
    (tree / "afw/1001_1.jpg").symlink_to(tree / "gone.jpg")
    (tree / "afw/1002_1.pts").unlink()
    (tree / "afw/1002_1.pts").symlink_to(tree / "gone.pts")
    (tree / "afw/1004_1.jpg").unlink()
    os.mkfifo(tree / "afw/1004_1.jpg")
    (tree / "afw/1005_1.jpg").unlink()
    (tree / "afw/1005_1.jpg").symlink_to("/dev/zero")
    found = of_train_and_val(tree)
    assert found["unreadable"] == {
        "afw/1001_1": "1001_1.jpg is a link to a file that does not exist",
        "afw/1004_1": "1004_1.jpg is not a regular file",
        "afw/1005_1": "1005_1.jpg is not a regular file",
    }
    assert found["malformed"] == {
        "afw/1002_1": "1002_1.pts is a link to a file that does not exist"
    }
    dataset = W300(tree)
    assert dataset.fingerprint("train")


def test_a_picture_that_goes_while_it_is_packed_costs_one_face(tmp_path: Path) -> None:
    """open-mmlab/mmdetection#6779, on the way from the list to the pack"""
    write_folder(tmp_path, "afw", 200)
    dataset = W300(tmp_path)
    faces = dataset.subset("train").faces
    (tmp_path / f"{faces[0].name}.jpg").unlink()
    packed = pack(dataset, "train", cache_dir=tmp_path / "cache")
    assert len(packed.names) == len(faces) - 1
    assert list(packed.manifest["skipped"]) == [faces[0].name]


@pytest.mark.parametrize("apart", [0.0, 1e-6])
@pytest.mark.parametrize("eyes", [("right_eye", "left_eye"), None])
def test_a_face_without_an_inter_eye_distance_is_malformed(
    eyes: tuple[str, str] | None, apart: float
) -> None:
    """wywu/LAB#41, patrikhuber/superviseddescent#56: every normaliser is checked where labels are
    read, whether it is too small or nothing."""
    points = points_of("eyes")
    if eyes is None:
        points[45] = points[36] + apart
    else:
        right, left = (list(IBUG68.groups[eye]) for eye in eyes)
        points[left] = points[right] + apart
        points[[45, 42]] += [[4, 0], [-4, 0]]  # the corners stay apart, the centres do not
    with pytest.raises(DataError, match=r"in one place, so that no (ocular|pupil) NME exists"):
        parse_pts(pts_text(points))


@pytest.mark.parametrize("thickness", [0.0, 1e-6])
def test_a_face_on_one_line_is_malformed(thickness: float) -> None:
    """The same, of the normaliser that every markup has: the sides of the landmarks' box."""
    lines = [f"{x} {20 + thickness * i:.7f}" for i, x in enumerate(points_of("line")[:, 0])]
    with pytest.raises(DataError, match="on one line, so that no box NME exists"):
        parse_pts("\n".join(lines))


@pytest.mark.parametrize("placeholder", [(-1.0, -1.0), (0.0, 0.0)])
def test_a_placeholder_is_a_missing_landmark(tree: Path, placeholder: tuple[float, float]) -> None:
    """facebookresearch/supervision-by-registration#32, davisking/dlib#3119,
    yinguobing/cnn-facial-landmark#94: hidden points written as zeros made an NME of 64 for 12."""
    name, hidden = "afw/1006_1", [3, 60]
    points = points_of(name)
    written = points.copy()
    written[hidden] = np.array(placeholder) - 1  # pts_text adds one
    (tree / f"{name}.pts").write_text(pts_text(written))
    read = read_pts(tree / f"{name}.pts")
    assert np.isnan(read[hidden]).all()
    assert np.isfinite(np.delete(read, hidden, axis=0)).all()
    there = np.delete(points, hidden, axis=0)
    np.testing.assert_allclose(gt_boxes(read[None]), gt_boxes(there[None]), atol=1e-3)
    predicted = points[None] + [0.3, 0.4]
    error = scores.image_errors(predicted, read[None], "ocular", IBUG68)
    assert error == pytest.approx(0.5 / np.linalg.norm(points[36] - points[45]), rel=1e-4)
    dataset = W300(tree)
    faces = {f.name: f for s in ("train", "val") for f in dataset.subset(s).faces}
    visibility = faces[name].visibility
    assert visibility is not None
    assert set(np.flatnonzero(visibility == MISSING)) == set(hidden)
    assert (np.delete(visibility, hidden) == VISIBLE).all()
    report = check_dataset(tree).subsets[:2]
    assert [n for s in report for n in s.incomplete] == [name]
    assert sum(s.n_faults for s in report) == 0
    subset = "val" if name in {f.name for f in dataset.subset("val").faces} else "train"
    packed = pack(dataset, subset, cache_dir=tree / "cache")
    assert packed.visibility is not None
    row = packed.names.index(name)
    assert np.isnan(packed.points[row, hidden]).all()
    assert (packed.visibility[row] == visibility).all()
    assert packed.manifest["points_outside"] == 0


SPOILERS = {
    "mirrored": lambda points: points * [-1, 1] + [47, 0],
    "transposed": lambda points: points[:, ::-1],
    "landmarks do not form": lambda points: points[np.random.default_rng(0).permutation(68)],
    "coordinates in 0..1": lambda points: points / 48,
}


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("every", [10, 2, 1])
def test_labels_that_are_no_face_are_found_by_name(tree: Path, kind: str, every: int) -> None:
    """ildoonet/tf-pose-estimation#33, jd-opensource/lapa-dataset#3, cleardusk/3DDFA#192: a tenth, a
    half and all of a set."""
    spoiled = {f"afw/{1000 + i}_1" for i in range(0, FACES, every)}
    for name in spoiled:
        (tree / f"{name}.pts").write_text(pts_text(SPOILERS[kind](points_of(name))))
    found = of_train_and_val(tree)["odd_labels"]
    assert found.keys() == spoiled
    assert all(kind in reason for reason in found.values()), set(found.values())


def test_what_other_programs_leave_behind_is_no_face(tmp_path: Path) -> None:
    """deepfakes/faceswap-playground#116, alinlab/CSI#31, iLearn-Lab/MM24-DiFF#4: `._NAME`"""
    write_folder(tmp_path, "helen/testset", TEST_SIZES["helen/testset"])
    folder = tmp_path / "helen/testset"
    other = ("._1000_1.jpg", "._1000_1.pts", ".DS_Store", "Thumbs.db", "desktop.ini")
    copies = ("1000_1.jpg~", "1000_1 (1).jpg", "1001_1 - Copy.pts", "Copy of 1002_1.jpg")
    for name in (*other, *copies):
        (folder / name).write_bytes(b"\0\5\x16\7")
    assert len(W300(tmp_path).subset("helen").faces) == 330
    assert not any(s.n_faults for s in check_dataset(tmp_path).subsets)


def test_faces_too_many_are_named(tmp_path: Path) -> None:
    """The dead end "holds 331 of 330 faces" of a test folder into which a face was copied."""
    write_folder(tmp_path, "helen/testset", TEST_SIZES["helen/testset"])
    write_face(tmp_path, "helen/testset/mine")
    sentence = r"holds 331 of 330 faces \(not of the original set: mine\)"
    with pytest.raises(DataError, match=sentence):
        W300(tmp_path).subset("helen")
    assert any("mine" in m for s in check_dataset(tmp_path).subsets for m in s.missing)


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_a_small_set_of_ones_own_has_a_validation_photo(tmp_path: Path, n: int) -> None:
    """googlecodelabs/tensorflow-for-poets-2#18, D-X-Y/landmark-detection#65: the hash split left
    `val` empty."""
    for i in range(n):
        write_face(tmp_path, f"afw/{2_000 + i}_1")
    dataset = W300(tmp_path)
    train, val = (dataset.subset(name).faces for name in ("train", "val"))
    assert len(val) >= 1
    assert len(train) + len(val) == n
    assert not {f.photo for f in train} & {f.photo for f in val}


def test_a_small_set_of_ones_own_has_a_training_photo(tmp_path: Path) -> None:
    """The same, where the hash puts every photo into `val`; of one photo the check says so."""
    of_val = [f"afw/{i}_1" for i in range(100) if in_val(photo_of(f"afw/{i}_1"))][:3]
    for n, name in enumerate(of_val, start=1):
        write_face(tmp_path, name)
        report = check_dataset(tmp_path).subsets[:2]
        if n == 1:
            assert [s.missing for s in report if not s.faces] == [
                ["it holds no photo; train and val need one each"]
            ]
        else:
            assert [(s.faces, s.n_faults) for s in report] == [(n - 1, 0), (1, 0)]


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tif"])
def test_other_picture_files_are_taken(tmp_path: Path, suffix: str) -> None:
    """`.bmp` beside `.pts` was "its picture is missing"."""
    for i in range(3):
        write_face(tmp_path, f"afw/{i}_1", suffix)
    dataset = W300(tmp_path)
    faces = [face for name in ("train", "val") for face in dataset.subset(name).faces]
    assert len(faces) == 3
    assert dataset.picture(faces[0]).shape == picture_of(faces[0].name).shape


def test_twelve_bits_in_sixteen_are_no_dark_picture(tmp_path: Path) -> None:
    """A scanner's 12-bit PNG came out sixteen times too dark."""
    eight = picture_of("any")
    for shift, name in ((4, "twelve.png"), (8, "sixteen.png")):
        pixels = eight[..., ::-1].astype(np.uint16) << shift
        assert cv2.imwrite(str(tmp_path / name), pixels)
        decoded = picture_files.decode_picture(tmp_path / name)
        if eight.max() >= 16:
            np.testing.assert_array_equal(decoded, eight)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_text_in_another_encoding_is_named_as_such(tmp_path: Path, encoding: str) -> None:
    """hukkin/tomli#304, influxdata/telegraf#1378, Nayjest/Gito#315: saved by Notepad, PowerShell"""
    text = "\ufeff" * (encoding == "utf-16-be") + "é name,x,y,w,h\na,0,0,9,9\n"
    (tmp_path / "boxes.csv").write_bytes(text.encode(encoding))
    named = {"latin-1": "not a text file in UTF-8"}.get(encoding, encoding[:6].upper())
    with pytest.raises(DataError, match=f"boxes.csv is .*{named}.*save it as UTF-8"):
        read_box_file(tmp_path / "boxes.csv", ["a"])


def faces_and_boxes(n: int = 40) -> tuple[list[str], np.ndarray, np.ndarray]:
    names = [f"face {i}" for i in range(n)]
    points = np.stack([points_of(name) for name in names]) * 5 + 300
    low, high = points.min(axis=1), points.max(axis=1)
    return names, points, np.hstack([low, high - low])


def write_boxes(path: Path, names: list[str], boxes: np.ndarray) -> Path:
    rows = [
        ",".join([name, *map(repr, box)]) for name, box in zip(names, boxes.tolist(), strict=True)
    ]
    path.write_text("\n".join(["name,x,y,w,h", *rows]))
    return path


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda b: np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]), "are the columns x1,y1,x2,y2?"),
        (lambda b: b + np.array([900, 0, 0, 0]), "x,y,w,h in px"),
        (lambda b: b * [1, 1, 0, 0] + [0, 0, 5e6, 5e6], "x,y,w,h in px"),
        (lambda b: b * [1, 1, 0, 0] + [0, 0, 1e-9, 1e-9], "x,y,w,h in px"),
        (lambda b: b / 1000, "x,y,w,h in px"),
    ],
)
def test_boxes_that_contradict_the_truth_are_refused(tmp_path: Path, change, guess: str) -> None:
    """D-X-Y/landmark-detection#18, 1adrianb/face-alignment#149, TadasBaltrusaitis/OpenFace#308:
    corners read as x,y,w,h gave an NME of 55 % for 17, boxes beside the faces one of 1564 %."""
    names, points, boxes = faces_and_boxes()
    assert len(
        read_box_file(write_boxes(tmp_path / "good.csv", names, boxes), names, points=points)
    )
    wrong = write_boxes(tmp_path / "boxes.csv", names, change(boxes))
    with pytest.raises(DataError, match=r"40 of 40 boxes in .* miss their face") as caught:
        read_box_file(wrong, names, points=points)
    assert guess in str(caught.value)


def test_a_detector_that_fails_on_one_face_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same, of a box file that is right but for one face."""
    names, points, boxes = faces_and_boxes()
    boxes[7, 0] += 900
    with caplog.at_level(logging.WARNING):
        read_box_file(write_boxes(tmp_path / "boxes.csv", names, boxes), names, points=points)
    assert "1 of 40 boxes" in caplog.text
    assert "face 7" in caplog.text
