import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drf.data.pts import parse_pts, read_pts
from drf.errors import DataError
from tests.data.made_up import points_of, pts_text

POINTS = points_of("a face")
TEXT = pts_text(POINTS)


@given(
    points=hnp.arrays(np.float64, (68, 2), elements=st.floats(-500, 5000)).map(
        lambda a: a.round(4)
    ),
    header=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_points_come_back_zero_based(points, header, newline):
    points[36], points[45] = (10, 20), (30, 20)  # eye corners apart: a face has an NME
    points[37], points[46] = (-500, 20), (5000, 20)  # and so are the eyes' centres
    assume(not ((points == -1).all(axis=1) | (points == -2).all(axis=1)).any())  # placeholders
    parsed = parse_pts(pts_text(points, header).replace("\n", newline))
    assert parsed.dtype == np.float32
    np.testing.assert_array_equal(parsed, points.round(4).astype(np.float32))


def test_the_top_left_pixel_is_one_one_in_the_file():
    lines = TEXT.splitlines()
    lines[3] = "1 1"
    np.testing.assert_array_equal(parse_pts("\n".join(lines))[0], [0, 0])


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path):
    path = tmp_path / "face.pts"
    path.write_text("\ufeff" + TEXT.replace("{\n", "{\n\n"), encoding="utf-8")
    np.testing.assert_array_equal(read_pts(path), POINTS.astype(np.float32))


def _with_line(line: str) -> str:
    lines = TEXT.splitlines()
    lines[10] = line
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (pts_text(POINTS[:67]), "declares n_points 67 instead of 68"),
        (pts_text(POINTS[:67]).replace("67", "68", 1), "holds 67 points instead of 68"),
        (pts_text(POINTS[:67], header=False), "holds 67 points instead of 68"),
        ("", "holds 0 points"),
        (_with_line("nan 3.0"), "'nan 3.0', which is no place in a picture"),
        (_with_line("3.0 inf"), "'3.0 inf', which is no place in a picture"),
        (_with_line("left eye"), "the line 'left eye' where two numbers belong"),
        (_with_line("3.0"), "the line '3.0' where two numbers belong"),
        (_with_line("3 4 5"), "the line '3 4 5' where two numbers belong"),
        (TEXT[: TEXT.rindex("}")], "ends before its closing brace"),
        (pts_text(np.full((68, 2), 7.0)), "all 68 points in one place"),
    ],
)
def test_what_a_broken_file_is_told(tmp_path, text, sentence):
    path = tmp_path / "face.pts"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_pts(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("face.pts ")
    assert str(tmp_path) not in str(caught.value)  # manifests hold these sentences


def test_eye_corners_in_one_place_have_no_nme():
    points = POINTS.copy()
    points[45] = points[36]
    with pytest.raises(DataError, match="36 · right eye, outer corner and landmark 45"):
        parse_pts(pts_text(points))


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "face.pts"
    path.write_bytes(b"\xff\xd8\xff\xe0 picture")
    with pytest.raises(DataError, match=r"face.pts is not a text file"):
        read_pts(path)
    with pytest.raises(DataError, match=r"gone.pts cannot be read \(No such file"):
        read_pts(tmp_path / "gone.pts")
