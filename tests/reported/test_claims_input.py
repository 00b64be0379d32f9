"""Boxes and labels that contradict the truth at hand, in every way that users have written them.

Each docstring names the threads where somebody met the situation; `tests/reported/test_data.py`
has the plain cases, these are their variants.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drf.data import label_check
from drf.data.boxes import gt_boxes, read_box_file
from drf.data.check import check_dataset
from drf.data.packs import pack
from drf.data.pts import parse_pts, read_pts
from drf.data.synthetic import face_points
from drf.data.w300 import W300
from drf.errors import DataError
from drf.landmarks.geometry import procrustes
from drf.landmarks.markup import IBUG68
from tests.cli.conftest import Drf
from tests.data.made_up import points_of, pts_text, write_folder
from tests.markups import FIVE, NINETY_EIGHT
from tests.markups import points_of as as_markup

Spoil = Callable[[np.ndarray], np.ndarray]
GROUPS = {name: list(group) for name, group in IBUG68.groups.items()}


def placed(one: list[int], other: list[int]) -> Spoil:
    """Write the landmarks `other` where `one` belong, and the other way round."""

    def spoil(points: np.ndarray) -> np.ndarray:
        changed = points.copy()
        changed[..., one, :], changed[..., other, :] = points[..., other, :], points[..., one, :]
        return changed

    return spoil


def reversed_part(name: str) -> Spoil:
    def spoil(points: np.ndarray) -> np.ndarray:
        changed = points.copy()
        changed[..., GROUPS[name], :] = points[..., GROUPS[name][::-1], :]
        return changed

    return spoil


LABELS: dict[str, tuple[Spoil, str]] = {
    "mirrored": (lambda p: p * [-1, 1] + [400, 0], "mirrored face"),
    "names of the sides exchanged": (lambda p: p[..., list(IBUG68.flip), :], "mirrored face"),
    "x and y exchanged": (lambda p: p[..., ::-1], "are x and y exchanged"),
    "y from below": (lambda p: p * [1, -1] + [0, 400], "counted from the bottom"),
    "0..1": (lambda p: p / 400, "coordinates in 0..1"),
    "-1..1": (lambda p: p / 200 - 1, "coordinates in 0..1"),
    "shuffled": (
        lambda p: p[..., np.random.default_rng(3).permutation(68), :],
        "do not form a face",
    ),
    "jaw last": (lambda p: np.roll(p, -17, axis=-2), "do not form a face"),
    "one too far": (lambda p: np.roll(p, 1, axis=-2), "from another first one"),
    "one too few": (lambda p: np.roll(p, -1, axis=-2), "from another first one"),
    "reverse": (lambda p: p[..., ::-1, :], "in reverse order"),
    "eyes exchanged": (placed(GROUPS["right_eye"], GROUPS["left_eye"]), "are exchanged"),
    "brows exchanged": (placed(GROUPS["right_brow"], GROUPS["left_brow"]), "are exchanged"),
    **{
        f"{part} from its other end": (reversed_part(part), f"its {part.replace('_', ' ')} are in")
        for part in GROUPS
    },
}
"""Kind of fault -> what makes it of (…, 68, 2) points, and a part of what is said of it."""


@pytest.fixture(scope="module")
def shapes() -> np.ndarray:
    """Shapes of 80 synthetic faces of the hard subset, px of a picture 256 px wide."""
    return np.stack([face_points("challenging", index, 0) for index in range(80)]).astype(float)


@pytest.mark.parametrize("every", [10, 2, 1])
@pytest.mark.parametrize("kind", LABELS)
def test_each_kind_of_wrong_label_is_named_in_a_tenth_a_half_and_all(
    shapes: np.ndarray, kind: str, every: int
) -> None:
    """ildoonet/tf-pose-estimation#33, jd-opensource/lapa-dataset#3, cleardusk/3DDFA#192: the
    reference is not the mean of the set, so that a set that is wrong as a whole is found too."""
    spoil, said = LABELS[kind]
    points = shapes.copy()
    points[::every] = spoil(points[::every])
    found = label_check.faults(points, IBUG68)
    assert list(found) == list(range(0, len(points), every))
    assert all(said in phrase for phrase in found.values()), set(found.values())


def test_sound_faces_raise_no_alarm(shapes: np.ndarray) -> None:
    """The same, of faces that are right: whole, turned by 30 degrees, or with a part missing."""
    assert label_check.faults(shapes, IBUG68) == {}
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    assert label_check.faults(shapes @ np.array([[c, s], [-s, c]]), IBUG68) == {}
    for part in GROUPS.values():
        without = shapes.copy()
        without[:, part] = np.nan
        assert label_check.faults(without, IBUG68) == {}
    with pytest.raises(StopIteration):
        next(iter(label_check.faults(np.full((1, 68, 2), np.nan), IBUG68)))


def test_the_reference_is_the_mean_of_synthetic_faces() -> None:
    """The table in `label_check`: landmarks in the order of the markup, to a hundredth."""
    faces = [face_points("train", index, 0) for index in range(100)]
    mean = procrustes(np.stack(faces).astype(float)).mean
    mean = mean - mean.mean(axis=0)
    expected = mean / np.sqrt((mean**2).sum(axis=1).mean())
    assert np.abs(label_check.reference(IBUG68) - expected).max() < 0.01


def test_a_mirrored_face_with_missing_landmarks_is_found(shapes: np.ndarray) -> None:
    """The same, where the jaw was not annotated."""
    mirrored = shapes * [-1, 1]
    mirrored[:, GROUPS["jaw"]] = np.nan
    assert all("mirrored" in said for said in label_check.faults(mirrored, IBUG68).values())
    assert len(label_check.faults(mirrored, IBUG68)) == len(shapes)


@pytest.mark.parametrize("markup", [FIVE, NINETY_EIGHT], ids=lambda markup: markup.name)
def test_a_markup_without_a_reference_knows_its_sides(shapes: np.ndarray, markup) -> None:
    """Landmarks that drf has no faces of: which eye lies on the left tells a mirror image."""
    points = as_markup(markup, shapes)
    assert label_check.faults(points, markup) == {}
    for spoil, said in (LABELS["mirrored"], LABELS["x and y exchanged"]):
        found = label_check.faults(spoil(points), markup)
        assert len(found) == len(points)
        assert all(said in phrase for phrase in found.values())


def test_a_normaliser_that_names_the_left_eye_first_is_named_as_the_cause(
    shapes: np.ndarray,
) -> None:
    right, left = FIVE.normalisers["pupil"]
    exchanged = replace(FIVE, normalisers={**FIVE.normalisers, "pupil": (left, right)})
    found = label_check.faults(as_markup(FIVE, shapes), exchanged)
    assert len(found) == len(shapes)
    assert all("pupil name the left eye before" in phrase for phrase in found.values())


@pytest.mark.parametrize("placeholder", ["0 0", "-1 -1", "0.000 -0.0", "-1.0 -1e0"])
@pytest.mark.parametrize("which", [[60], [3, 17, 60], GROUPS["left_eye"], GROUPS["jaw"]])
def test_placeholders_of_one_several_and_all_landmarks_of_a_part(
    which: list[int], placeholder: str
) -> None:
    """facebookresearch/supervision-by-registration#32, davisking/dlib#3119"""
    lines = pts_text(points_of("placeholders"), header=False).splitlines()
    for index in which:
        lines[index] = placeholder
    read = parse_pts("\n".join(lines))
    assert np.flatnonzero(np.isnan(read).any(axis=1)).tolist() == which
    assert label_check.fault(read, IBUG68) is None
    box = gt_boxes(read[None])[0]
    there = np.delete(points_of("placeholders"), which, axis=0)
    np.testing.assert_allclose(box, gt_boxes(there[None])[0], atol=1e-2)


@pytest.mark.parametrize("place", [(1.0, 1.0), (-2.0, -2.0), (-100.0, -100.0), (0.0, 500.0)])
def test_another_placeholder_is_asked_about(shapes: np.ndarray, place: tuple[float, float]) -> None:
    """The same, of programs that write something else: three landmarks never share a place."""
    points = shapes + 100
    points[:, [3, 17, 60]] = place
    found = label_check.faults(points, IBUG68)
    assert len(found) == len(points)
    assert all("3 of its landmarks are in one place" in said for said in found.values())
    assert all("3 · jaw" in said and "are they missing?" in said for said in found.values())


def test_a_face_of_a_few_pixels_is_a_fault(shapes: np.ndarray) -> None:
    """A box of a few px: what is seen there is no face."""
    small = shapes[:1] * 5 / np.ptp(shapes[0], axis=0).max()
    assert "5 px wide: too small" in str(label_check.faults(small, IBUG68).get(0))


def spoiled_tree(root: Path, kind: str, every: int, n: int = 40) -> Path:
    write_folder(root, "afw", n)
    for i in range(0, n, every):
        name = f"afw/{1000 + i}_1"
        (root / f"{name}.pts").write_text(pts_text(LABELS[kind][0](points_of(name))))
    return root


@pytest.mark.parametrize("kind", ["mirrored", "eyes exchanged", "one too far"])
def test_check_names_every_face_and_shows_the_first(
    tmp_path: Path,
    drf: Drf,
    kind: str,
) -> None:
    """The path `drf data check`."""
    spoiled_tree(tmp_path, kind, 10)
    found = {s.subset: s for s in check_dataset(tmp_path).subsets}
    odd = found["train"].odd_labels | found["val"].odd_labels
    assert odd.keys() == {f"afw/{1000 + i}_1" for i in range(0, 40, 10)}
    printed = drf("data", "check", tmp_path)
    assert printed.code == 4
    assert "odd landmarks" in printed.out
    assert LABELS[kind][1] in " ".join(printed.out.split())


@pytest.mark.parametrize("every", [10, 2, 1])
def test_a_subset_of_wrong_labels_is_not_packed(tmp_path: Path, every: int) -> None:
    """The paths pack, train and eval, which all ask for a pack: training on mirrored labels
    finished, and its NME looked better than a healthy one."""
    dataset = W300(spoiled_tree(tmp_path, "mirrored", every, 80))
    with pytest.raises(DataError, match=r"the labels of \d+ of the \d+ faces .* mirrored face"):
        pack(dataset, "train", cache_dir=tmp_path / "cache")
    assert not any((tmp_path / "cache").glob("300w-*"))


def test_one_wrong_label_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same, of one face: it is named, and the others are used; also from the cache."""
    dataset = W300(spoiled_tree(tmp_path, "mirrored", 40))
    subset = next(s for s in ("train", "val") if "afw/1000_1" in names_of(dataset, s))
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            pack(dataset, subset, cache_dir=tmp_path / "cache")
        assert "the labels of 1 of the" in caplog.text
        assert "afw/1000_1" in caplog.text


def names_of(dataset: W300, subset: str) -> list[str]:
    return [face.name for face in dataset.subset(subset).faces]


def test_a_pack_of_an_earlier_version_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack that was made before labels were looked at."""
    dataset = W300(spoiled_tree(tmp_path, "mirrored", 1))
    with monkeypatch.context() as earlier:
        earlier.setattr(label_check, "refuse_odd", lambda *_: None)
        pack(dataset, "train", cache_dir=tmp_path / "cache")
    with pytest.raises(DataError, match="mirrored face"):
        pack(dataset, "train", cache_dir=tmp_path / "cache")


def faces_and_boxes(n: int = 60) -> tuple[list[str], np.ndarray, np.ndarray]:
    names = [f"face {i}" for i in range(n)]
    rng = np.random.default_rng(0)
    points = np.stack([points_of(name) for name in names]) * 5
    points = points + rng.uniform([300, 0], [900, 500], (n, 2))[:, None]
    low, high = points.min(axis=1), points.max(axis=1)
    return names, points, np.hstack([low, high - low])


def corners(b: np.ndarray) -> np.ndarray:
    return np.hstack([b[:, :2], b[:, :2] + b[:, 2:]])


BOXES: dict[str, tuple[Spoil, str]] = {
    "x1,y1,x2,y2": (corners, "are the columns x1,y1,x2,y2?"),
    "x2,y2,x1,y1": (lambda b: corners(b)[:, [2, 3, 0, 1]], "are the columns x1,y1,x2,y2?"),
    "y1,x1,y2,x2": (lambda b: corners(b)[:, [1, 0, 3, 2]], "are the columns y1,x1,y2,x2?"),
    "y,x,h,w": (lambda b: b[:, [1, 0, 3, 2]], "are the columns y,x,h,w?"),
    "centre and size": (
        lambda b: np.hstack([b[:, :2] + b[:, 2:] / 2, b[:, 2:]]),
        "are x,y the centre of the box?",
    ),
    "half size": (lambda b: b / 2, "of pictures 0.5 times as large?"),
    "double size": (lambda b: b * 2, "of pictures 2 times as large?"),
    "900 px beside": (lambda b: b + np.array([900, 0, 0, 0]), r"are they shifted by (900, 0) px?"),
    "0..1": (lambda b: b / 2000, "are these in 0..1?"),
    "5e6 px wide": (lambda b: b * [1, 1, 0, 0] + [0, 0, 5e6, 5e6], "times as wide as the faces"),
    "1e-9 px wide": (
        lambda b: b * [1, 1, 0, 0] + [0, 0, 1e-9, 1e-9],
        "times as wide as the faces",
    ),
    "3 px wide": (lambda b: b * [1, 1, 0, 0] + [0, 0, 3, 3], "times as wide as the faces"),
    "of other faces": (lambda b: np.roll(b, 1, axis=0), "boxes are x,y,w,h in px"),
}
"""What stands in the file -> what makes it of (n, 4) x, y, w, h, and a part of what is said."""


@pytest.mark.parametrize("every", [10, 2, 1])
@pytest.mark.parametrize("kind", BOXES)
def test_boxes_that_miss_their_faces_are_refused_with_a_guess(
    tmp_path: Path, kind: str, every: int
) -> None:
    """D-X-Y/landmark-detection#18, 1adrianb/face-alignment#149, TadasBaltrusaitis/OpenFace#308, of
    a tenth, a half and all boxes."""
    names, points, good = faces_and_boxes()
    boxes = good.copy()
    boxes[::every] = BOXES[kind][0](good)[::every]
    with pytest.raises(DataError, match=r"boxes in .* miss their face") as caught:
        read_box_file(written(tmp_path, names, boxes), names, points=points)
    assert BOXES[kind][1] in str(caught.value)


@pytest.mark.parametrize(("margin", "every"), [(1.25, 10), (1.25, 2), (1.25, 1), (1.0, 1)])
def test_corners_are_told_from_sizes_where_faces_fill_their_pictures(
    tmp_path: Path, shapes: np.ndarray, margin: float, every: int
) -> None:
    """The same, where a face lies in its box even so: it fits better, and all fit more evenly, if
    they are read otherwise."""
    names = [f"face {i}" for i in range(len(shapes))]
    x, y, side = (gt_boxes(shapes) * [1, 1, margin / 1.25]).T
    good = np.column_stack([x - side / 2, y - side / 2, side, side])
    boxes = good.copy()
    boxes[::every] = corners(good)[::every]
    with pytest.raises(DataError, match=r"are the columns x1,y1,x2,y2\?"):
        read_box_file(written(tmp_path, names, boxes), names, points=shapes)
    assert len(read_box_file(written(tmp_path, names, good), names, points=shapes)) == len(names)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b + np.array([1, 1, 0, 0]),
        lambda b: b + np.hstack([-0.2 * b[:, 2:], 0.4 * b[:, 2:]]),
        lambda b: b * [1, 1, 0.8, 1],
    ],
    ids=["1-based", "with a margin", "narrow"],
)
def test_boxes_of_detectors_are_taken(tmp_path: Path, change: Spoil) -> None:
    """The same: what is a detector's own way to draw a box is no fault."""
    names, points, good = faces_and_boxes()
    found = read_box_file(written(tmp_path, names, change(good)), names, points=points)
    assert found.shape == (len(names), 3)


@pytest.mark.parametrize("row", ["nan,1,9,9", "1,1,-9,9", "1,1,9,0", "1,inf,9,9", "1,1,1e999,9"])
def test_a_box_without_an_extent_is_refused_by_its_line(tmp_path: Path, row: str) -> None:
    """The same, of single numbers; x2 < x1 gives a width below 0."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"name,x,y,w,h\na,{row}\n")
    with pytest.raises(DataError, match=r"line 2: the box of 'a' has no extent .* above 0"):
        read_box_file(path, ["a"])


def written(folder: Path, names: list[str], boxes: np.ndarray) -> Path:
    rows = [",".join([n, *map(repr, box)]) for n, box in zip(names, boxes.tolist(), strict=True)]
    (folder / "boxes.csv").write_text("\n".join(["name,x,y,w,h", *rows]))
    return folder / "boxes.csv"


@pytest.mark.slow
def test_real_faces_are_told_from_spoiled_ones(real_faces: Path, tmp_path: Path) -> None:
    """The same kinds on the faces of 300-W: none is listed as they are, and every one by its kind
    when a tenth, a half or all of a copy is spoiled; AFW as files, through the whole check."""
    dataset = W300(real_faces)
    files = {name: pair for s in ("train", "val", "full") for name, pair in dataset.members(s)}
    pairs = {name: pair for name, pair in files.items() if pair is not None}
    points = np.stack([read_pts(pts) for _, pts in pairs.values()]).astype(float)
    assert label_check.faults(points, IBUG68) == {}
    for kind, (spoil, said) in LABELS.items():
        for every in (10, 2, 1):
            spoiled = points.copy()
            spoiled[::every] = spoil(spoiled[::every])
            found = label_check.faults(spoiled, IBUG68)
            assert list(found) == list(range(0, len(points), every)), (kind, every)
            assert all(said in phrase for phrase in found.values()), (kind, every)
    expected = _spoiled_copy(tmp_path, {n: p for n, p in pairs.items() if n.startswith("afw/")})
    reports = check_dataset(tmp_path).subsets[:2]
    odd = {name: phrase for report in reports for name, phrase in report.odd_labels.items()}
    assert odd.keys() == expected.keys()
    assert all(said in odd[name] for name, said in expected.items())


def _spoiled_copy(root: Path, pairs: dict[str, tuple[Path, Path]]) -> dict[str, str]:
    """Link to the pictures and write their points, every other face spoiled by one of the kinds in
    turn; return what is to be said of which face."""
    (root / "afw").mkdir()
    kinds = list(LABELS.values())
    expected = {}
    for number, (name, (picture, pts)) in enumerate(pairs.items()):
        (root / name).with_suffix(picture.suffix).symlink_to(picture)
        points = read_pts(pts).astype(float)
        if number % 2:
            spoil, expected[name] = kinds[number // 2 % len(kinds)]
            points = spoil(points)
        (root / name).with_suffix(".pts").write_text(pts_text(points))
    return expected
