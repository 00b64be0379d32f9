"""Where on the face a model errs: numbers from the formulas, on the mean shape and by region."""

import numpy as np
import pytest

from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.webapp import examples
from webapp.faces import landmark_errors
from webapp.faces.landmark_errors import LandmarkErrors


def stored(shop, key="wide", points="all", norm="ocular"):
    from db import connection, reads

    con = connection.open_reader(shop.path)
    evaluations = reads.evaluations(con, shop.ids[key])
    con.close()
    number = int(evaluations.loc[evaluations["subset"] == "common", "evaluation"].iloc[0])
    of = shop.ids[key], number, "ibug68", points, norm
    return landmark_errors.of_evaluation(str(shop.path), *of)


@pytest.mark.parametrize("norm", ["ocular", "pupil"])
def test_errors_of_landmarks_are_means_over_the_faces(shop, norm):
    made = examples.evaluation("common", 0.034, 1)
    distance = scores.distances(made.ground_truth, norm, IBUG68)
    found = stored(shop, norm=norm)
    for j in (0, 36, 67):
        away = np.linalg.norm(made.predictions[:, j] - made.ground_truth[:, j], axis=1)
        assert found.errors[j] == pytest.approx(np.mean(away / distance), rel=1e-4)
    assert found.errors.mean() == pytest.approx(scores.nme(made.errors(norm)), rel=1e-4)


def test_the_mean_shape_is_an_upright_face_in_its_box():
    _, truth, _ = examples.faces("common")
    mean = landmark_errors.mean_shape(truth)
    assert (mean > 0).all()
    assert (mean < 1).all()
    assert mean[8, 1] > mean[30, 1] > mean[27, 1]  # chin below the tip of the nose below its root
    moved = landmark_errors.mean_shape(3 * truth + 40)
    assert np.allclose(moved, mean, atol=1e-5)


def example(points="all"):
    known = IBUG68.indices(points)
    rng = np.random.default_rng(0)
    mean = landmark_errors.mean_shape(examples.faces("common")[1])
    errors = rng.uniform(0.01, 0.058, len(known))
    return LandmarkErrors(IBUG68, known, errors, mean, errors.mean())


def test_the_worst_landmark_is_largest_and_every_one_is_named():
    found = example()
    chart = landmark_errors.by_landmark(found, "ocular")
    discs = chart.figure.data[-1]
    assert np.allclose(np.stack([discs.x, discs.y], 1), found.mean_shape)
    assert discs.marker.colorscale is not None
    assert np.argmax(discs.marker.size) == np.argmax(found.errors) == np.argmax(discs.marker.color)
    assert list(discs.text) == [IBUG68.title(index) for index in range(68)]
    worst = int(np.argmax(found.errors))
    assert f"Largest: {IBUG68.title(worst)} ({100 * found.errors[worst]:.2f} %)" in chart.alt


def test_colours_and_sizes_mean_the_same_for_every_run():
    one, other = (
        LandmarkErrors(IBUG68, np.arange(68), np.full(68, error), example().mean_shape, error)
        for error in (0.02, 0.09)
    )
    small, large = (
        landmark_errors.by_landmark(found, "ocular").figure.data[-1].marker
        for found in (one, other)
    )
    assert (small.cmin, small.cmax) == (large.cmin, large.cmax)
    assert max(small.size) < min(large.size)


def test_regions_are_means_over_their_landmarks():
    found = example()
    (bars,) = landmark_errors.by_region(found, "ocular").figure.data
    for region, value in zip(bars.y, bars.x, strict=True):
        members = [found.errors[j] for j in IBUG68.indices(region)]
        assert value == pytest.approx(100 * np.mean(members))
    assert list(bars.x) == sorted(bars.x)
    assert len(bars.y) == 5


def test_no_value_of_a_region_stands_where_the_line_of_the_nme_is_drawn():
    found = example()
    figure = landmark_errors.by_region(found, "ocular").figure
    (bars,) = figure.data
    assert bars.text is None
    for name, region, value in zip(figure.layout.yaxis.ticktext, bars.y, bars.x, strict=True):
        assert name == f"{region}  <b>{value:.2f}</b>"


def test_a_model_of_the_eyes_has_one_region_and_twelve_landmarks():
    found = example("eyes")
    (bars,) = landmark_errors.by_region(found, "pupil").figure.data
    assert list(bars.y) == ["eyes"]
    discs = landmark_errors.by_landmark(found, "pupil").figure.data[-1]
    assert len(discs.x) == 12
    assert discs.text[0].startswith("36 · right eye")
