"""What a card shows lies where the leaf says."""

import base64
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from drf.data.crops import decode_jpeg, encode_jpeg
from drf.landmarks.markup import IBUG68
from drf.pictures import LeafPicture
from webapp.run import leaf_card
from webapp.run.leaf_card import SIDE, Portrait

SVG = "{http://www.w3.org/2000/svg}"


def leaf(**changes: object) -> LeafPicture:
    cells = np.zeros((2, 4), np.float32)
    cells[1, 3], cells[0, 0] = 0.8, 0.2
    made = {
        "tree": 0, "leaf": 1, "title": "<script>", "share": 0.5,
        "points": np.float32([[0.5, 0.25]]), "std": np.float32([[0.1, 0.05]]),
        "landmarks": (36,), "distribution": cells, "extent": (0.0, 0.0, 1.0, 1.0),
    }  # fmt: skip
    return LeafPicture(**(made | changes))


def mean() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (68, 2))


def parsed(made: LeafPicture, *faces: Portrait | None) -> ET.Element:
    text = leaf_card.card(made, mean(), IBUG68, faces)
    assert "script" not in text
    return ET.fromstring(text)


def numbers(element: ET.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def test_the_point_and_one_standard_deviation_lie_in_their_place():
    card = parsed(leaf())
    (ellipse,) = card.iter(f"{SVG}ellipse")
    centre, radii = numbers(ellipse, "cx", "cy"), numbers(ellipse, "rx", "ry")
    assert centre == [SIDE / 2, SIDE / 4]
    assert radii == pytest.approx([SIDE / 10, SIDE / 20])
    ring, disc = card.iter(f"{SVG}circle")
    assert numbers(ring, "cx", "cy") == pytest.approx(list(SIDE * mean()[36]), abs=0.06)
    assert numbers(disc, "cx", "cy") == centre


def test_the_distribution_is_opaque_where_it_is_large():
    (image,) = parsed(leaf()).iter(f"{SVG}image")
    assert numbers(image, "x", "y", "width", "height") == [0, 0, SIDE, SIDE]
    png = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    cells = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert cells.shape == (2, 4, 4)
    assert cells[..., 3].tolist() == [[128, 0, 0, 0], [0, 0, 0, 255]]


def test_a_small_window_is_enlarged_with_its_surroundings():
    small = leaf(extent=(0.4, 0.1, 0.6, 0.3))
    left, top, side = leaf_card.view(small, mean())
    assert (left + side / 2, top + side / 2) == pytest.approx((0.5, 0.2))
    assert side == pytest.approx(0.26)
    card = parsed(small)
    (image,) = card.iter(f"{SVG}image")
    x, y, width, height = numbers(image, "x", "y", "width", "height")
    assert (width, height) == pytest.approx((SIDE / 1.3, SIDE / 1.3), abs=0.1)
    assert (x, y) == pytest.approx((SIDE * 0.15 / 1.3, SIDE * 0.15 / 1.3), abs=0.1)
    (ellipse,) = card.iter(f"{SVG}ellipse")
    assert numbers(ellipse, "cx", "cy") == pytest.approx(
        [SIDE / 2, SIDE * (0.25 - top) / side], abs=0.06
    )


def test_a_lone_landmark_without_a_distribution_is_enlarged_around_its_mean_place():
    place = mean()[36]
    vector = leaf(points=np.float32(place[None] + 0.03), std=np.float32([[0.01, 0.01]]),
                  distribution=None, extent=None)  # fmt: skip
    ring, disc = parsed(vector).iter(f"{SVG}circle")
    assert numbers(ring, "cx", "cy") == pytest.approx([SIDE / 2] * 2, abs=0.06)
    assert numbers(disc, "cx", "cy") == pytest.approx([SIDE * 0.6] * 2, abs=0.06)
    far = leaf(points=np.float32(place[None] - 0.2), distribution=None, extent=None)
    *_, disc = parsed(far).iter(f"{SVG}circle")
    assert 0 < min(numbers(disc, "cx", "cy")) < SIDE / 2  # it never leaves the card


@pytest.mark.parametrize("extent", [(0.0, 0.0, 1.0, 1.0), (0.1, 0.1, 0.9, 0.9)])
def test_a_large_window_shows_the_whole_box(extent):
    assert leaf_card.view(leaf(extent=extent), mean()) == (0, 0, 1)


def test_a_whole_face_has_its_outlines_over_those_of_the_mean():
    points = mean()[::-1].astype(np.float32)
    whole = leaf(
        points=points, std=points / 20, landmarks=tuple(range(68)), distribution=None,
        extent=None,
    )  # fmt: skip
    card = parsed(whole)
    mean_shape, drawn = (path.attrib["d"] for path in card.iter(f"{SVG}path"))
    assert mean_shape.count("M") == drawn.count("M") == 9  # the groups of the markup
    x, y = (float(v) for v in drawn[1:].partition("L")[0].split())
    far = mean()[0] + leaf_card.MAGNIFIED * (points[0] - mean()[0])
    assert [x, y] == pytest.approx(list(SIDE * far), abs=0.06)
    assert len(list(card.iter(f"{SVG}ellipse"))) == 68
    assert not list(card.iter(f"{SVG}image"))


def test_a_leaf_for_whichever_landmark_has_its_point_and_no_ring():
    card = parsed(leaf(landmarks=()))
    (disc,) = card.iter(f"{SVG}circle")
    assert numbers(disc, "cx", "cy") == [SIDE / 2, SIDE / 4]


def test_faces_come_in_rows_of_three_with_the_landmark_on_them():
    picture = np.zeros((16, 16, 3), np.uint8)
    jpegs = [encode_jpeg(picture + 60 * i) for i in range(4)]
    points = np.full((68, 2), 0.25)
    faces = [Portrait(jpeg, points) for jpeg in jpegs]
    card = parsed(leaf(distribution=None, extent=None), *faces, None)
    tiles = [svg for svg in card.findall(f"{SVG}svg") if svg.find(f"{SVG}image") is not None]
    assert len(tiles) == 4
    for i, tile in enumerate(tiles):
        image = tile.find(f"{SVG}image")
        data = base64.b64decode(image.attrib["href"].removeprefix("data:image/jpeg;base64,"))
        assert decode_jpeg(data).mean() == pytest.approx(60 * i, abs=2)
        x, y, width = numbers(tile, "x", "y", "width")
        assert x == pytest.approx((i % 3) * (width + 4), abs=0.1)
        assert y > SIDE
        (ring,) = tile.findall(f"{SVG}circle")
        assert numbers(ring, "cx", "cy") == pytest.approx([width / 4] * 2, abs=0.1)
    height = float(card.attrib["viewBox"].split()[3])
    missing = card.findall(f"{SVG}rect")
    assert len(missing) == 1
    assert numbers(missing[0], "y")[0] + width <= height + 0.1


def test_an_empty_distribution_is_no_division_by_zero():
    parsed(leaf(distribution=np.zeros((2, 2), np.float32)))


def test_the_bar_is_as_wide_as_the_share_of_the_largest():
    card = ET.fromstring(leaf_card.card(leaf(share=0.05), mean(), IBUG68, [], largest_share=0.2))
    bars = [r for r in card.iter(f"{SVG}rect") if r.attrib.get("fill") == leaf_card.theme.GREEN]
    assert [float(bar.attrib["width"]) for bar in bars] == pytest.approx([SIDE / 4])


def test_the_distance_of_a_leaf_is_the_root_mean_square_over_its_landmarks():
    points = mean().astype(np.float32)
    points[0] += (0.3, 0.4)
    whole = leaf(
        points=points, std=points / 20, landmarks=tuple(range(68)), distribution=None, extent=None
    )
    assert leaf_card.offset(whole, mean()) == pytest.approx(0.5 / 68**0.5, rel=1e-5)
    anybody = leaf(points=points[:1], std=points[:1] / 20, landmarks=())
    assert leaf_card.offset(anybody, mean()) == 0
    assert leaf_card.magnified(anybody, mean()) is anybody.points
