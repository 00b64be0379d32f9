import hashlib
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drf.data.boxes import gt_boxes, jitter_boxes, read_box_file
from drf.errors import DataError

faces = hnp.arrays(np.float32, (3, 68, 2), elements=st.floats(-100, 3000, width=32)).filter(
    lambda points: (np.ptp(points, axis=1).max(axis=1) > 1).all()
)
NAMES = [f"afw/{i}_1" for i in range(2000)]
SQUARES = np.tile([100.0, 80.0, 50.0], (len(NAMES), 1))


@given(faces)
def test_a_gt_box_is_the_square_on_the_longer_side_with_a_margin(points):
    for face, (cx, cy, side) in zip(points.astype(float), gt_boxes(points), strict=True):
        width = face[:, 0].max() - face[:, 0].min()
        height = face[:, 1].max() - face[:, 1].min()
        assert side == pytest.approx(1.25 * max(width, height))
        assert cx == pytest.approx((face[:, 0].max() + face[:, 0].min()) / 2)
        assert cy == pytest.approx((face[:, 1].max() + face[:, 1].min()) / 2)
        assert (np.abs(face - [cx, cy]) < side / 2).all()


def test_jitter_has_the_stated_spread_and_no_bias():
    shift = (jitter_boxes(SQUARES, NAMES, seed=0) - SQUARES) / 50
    np.testing.assert_allclose(shift.std(axis=0), [0.05, 0.05, 0.10], rtol=0.06)
    np.testing.assert_allclose(shift.mean(axis=0), 0, atol=0.006)
    assert (np.abs(shift) <= [0.15, 0.15, 0.30]).all()
    assert abs(np.corrcoef(shift.T)[np.triu_indices(3, 1)]).max() < 0.08


def test_a_jitter_depends_on_the_name_and_the_seed_alone():
    together = jitter_boxes(SQUARES, NAMES, seed=0)
    backwards = jitter_boxes(SQUARES, NAMES[::-1], seed=0)[::-1]
    alone = jitter_boxes(SQUARES[:1], NAMES[7:8], seed=0)[0]
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together[7], alone)
    assert not np.isclose(together, jitter_boxes(SQUARES, NAMES, seed=1)).all(axis=1).any()


def test_the_jitter_of_a_face_is_fixed_for_good():
    """Written out from its definition: scores under gt_jitter compare only while this holds."""
    digest = hashlib.sha256(b"0/afw/134212_1").digest()
    z = [
        NormalDist().inv_cdf((int.from_bytes(digest[8 * i : 8 * i + 6], "big") + 0.5) / 2**48)
        for i in range(3)
    ]
    expected = [100 + 0.05 * 50 * z[0], 80 + 0.05 * 50 * z[1], 50 * (1 + 0.1 * z[2])]
    box = jitter_boxes(SQUARES[:1], ["afw/134212_1"], seed=0)[0]
    np.testing.assert_allclose(box, expected, rtol=1e-12)
    np.testing.assert_allclose(box, [100.677531, 81.325574, 52.694067], atol=1e-6)


def box_file(tmp_path, *rows: str, header: str = "name,x,y,w,h"):
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_box_file_is_read_by_name_and_made_square(tmp_path):
    path = box_file(tmp_path, "b,0,0,10,20", '"a, the first",5.5,-2,40,40')
    boxes = read_box_file(path, ["a, the first", "b"])
    np.testing.assert_array_equal(boxes, [[25.5, 18, 40], [5, 10, 20]])


def test_gt_boxes_survive_a_box_file(tmp_path):
    points = np.random.default_rng(0).uniform(0, 300, (5, 68, 2))
    boxes = gt_boxes(points)
    names = [f"face {i}" for i in range(5)]
    rows = [
        f"{name},{cx - side / 2!r},{cy - side / 2!r},{side!r},{side!r}"
        for name, (cx, cy, side) in zip(names, boxes.tolist(), strict=True)
    ]
    np.testing.assert_allclose(read_box_file(box_file(tmp_path, *rows), names), boxes, atol=1e-9)


def test_one_box_file_serves_all_subsets_of_its_dataset(tmp_path):
    path = box_file(tmp_path, "a,0,0,10,10", "b,0,0,10,10")
    assert len(read_box_file(path, ["a"], has_face=lambda name: name == "b")) == 1


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["a,0,0,10,10"], "has no box for 1 of 2 faces, first 'b'"),
        (["a,0,0,9,9", "b,0,0,9,9", "c,0,0,9,9"], "line 4: a box for 'c', but the dataset has no"),
        (["a,0,0,9,9", "b,0,0,9,9", "a,1,0,9,9"], "line 4: a second box for 'a'"),
        (["a,0,0,nine,9"], "line 2: 'a,0,0,nine,9' is not name,x,y,w,h"),
        (["a,0,0,9"], "is not name,x,y,w,h"),
        (["a,0,0,9,9,0.98"], "is not name,x,y,w,h"),
        (["a,0,0,nan,9"], "the box of 'a' has no extent or is not a number"),
        (["a,inf,0,9,9"], "the box of 'a' has no extent or is not a number"),
        (["a,0,0,0,9"], "the box of 'a' has no extent or is not a number"),
    ],
)
def test_what_a_bad_box_file_is_told(tmp_path, rows, sentence):
    with pytest.raises(DataError) as caught:
        read_box_file(box_file(tmp_path, *rows), ["a", "b"])
    assert sentence in str(caught.value)
    assert "boxes.csv" in str(caught.value)


def test_a_box_file_that_is_none(tmp_path):
    with pytest.raises(DataError, match=r"gone.csv cannot be read \(No such file"):
        read_box_file(tmp_path / "gone.csv", ["a"])
    with pytest.raises(DataError, match="its first line must be name,x,y,w,h"):
        read_box_file(box_file(tmp_path, "a,0,0,9,9", header="file,left,top,w,h"), ["a"])
    with pytest.raises(DataError, match="starts with nothing"):
        read_box_file(box_file(tmp_path, header=""), ["a"])
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xd8\xff\x00")
    with pytest.raises(DataError, match="is not a text file"):
        read_box_file(tmp_path / "boxes.csv", ["a"])
