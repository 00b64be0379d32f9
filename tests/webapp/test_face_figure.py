"""The large face: everything lies where it belongs, says what it is, and is drawn fast."""

import time

import numpy as np
import pytest

from drf.data.crops import decode_jpeg
from drf.landmarks import geometry
from drf.landmarks.markup import HIDDEN, IBUG68, VISIBLE
from drf.scoring import scores
from tests.webapp import examples
from webapp.faces.figure import PredictedShape, draw, look, shares


@pytest.fixture(scope="module")
def face():
    """Name, ground truth (68, 2) picture px, and the crop."""
    names, truth, crops = examples.faces("common")
    return names[0], truth[0], (crops[0].jpeg, crops[0].to_picture)


def shape(truth, name="hourglass", seed=0, **more):
    return PredictedShape(name, truth + np.random.default_rng(seed).normal(size=(68, 2)), **more)


def drawn(face, shapes, **more):
    name, truth, crop = face
    return draw(name, truth, crop, shapes, "ocular", IBUG68, **more)


def traces(chart, mode):
    return [trace for trace in chart.figure.data if trace.mode == mode]


def places(trace):
    return np.stack([trace.x, trace.y], axis=1)


def lines_of(chart, place=1):
    """The path of the first model's segments, or at place 2 of its ellipses; at 0 its outlines."""
    return places(traces(chart, "lines")[place])


def test_markers_lie_on_the_pixels_of_the_crop(face):
    _, truth, (_, to_picture) = face
    guess = shape(truth)
    model, true = traces(drawn(face, [guess]), "markers")
    for trace, points in ((model, guess.prediction), (true, truth)):
        back = geometry.apply(to_picture, places(trace).astype(float))
        assert np.allclose(back, points, atol=1e-3)


def test_the_picture_lies_under_the_points(face):
    jpeg = face[2][0]
    (picture,) = drawn(face, []).figure.layout.images
    height, width = decode_jpeg(jpeg).shape[:2]
    assert (picture.x, picture.y, picture.sizex, picture.sizey) == (-0.5, -0.5, width, height)
    assert picture.layer == "below"
    left, right = drawn(face, []).figure.layout.xaxis.range
    bottom, top = drawn(face, []).figure.layout.yaxis.range
    assert -0.5 <= left < right <= width - 0.5
    assert -0.5 <= top < bottom <= height - 0.5  # y goes down


def test_a_hover_names_the_landmark_and_its_share_of_the_nme(face):
    _, truth, _ = face
    guess = shape(truth)
    model = traces(drawn(face, [guess]), "markers")[0]
    distances = np.linalg.norm(guess.prediction - truth, axis=1)
    assert model.text[36] == "36 · right eye, outer corner"
    assert np.allclose(model.customdata[:, 1], 100 * distances / distances.sum(), rtol=1e-5)
    ocular = np.linalg.norm(truth[36] - truth[45])
    assert np.allclose(model.customdata[:, 0], 100 * distances / ocular, rtol=1e-5)
    assert "%{text}" in model.hovertemplate
    assert "of the error of this face" in model.hovertemplate


def test_shares_add_up_to_one_over_what_the_model_knows(face):
    _, truth, _ = face
    guess = shape(truth).prediction
    guess[:36] = np.nan
    found = shares(guess, truth)
    assert np.isnan(found[:36]).all()
    assert found[36:].sum() == pytest.approx(1)
    assert (shares(truth, truth) == 0).all()


def test_error_segments_join_truth_and_prediction_and_can_be_left_out(face):
    _, truth, (_, to_picture) = face
    guess = shape(truth)
    segments = lines_of(drawn(face, [guess])).reshape(68, 3, 2)
    assert not len(lines_of(drawn(face, [guess], error_segments=False)))
    back = geometry.apply(to_picture, segments[:, :2].astype(float))
    assert np.allclose(back[:, 0], truth, atol=1e-3)
    assert np.allclose(back[:, 1], guess.prediction, atol=1e-3)
    assert np.isnan(segments[:, 2]).all()


def test_a_covariance_is_an_ellipse_of_two_standard_deviations_in_the_picture(face):
    """The crop is another scale than the picture: the ellipse must go through the map."""
    _, truth, (_, to_picture) = face
    covariances = np.tile([[4.0, 1.5], [1.5, 1.0]], (68, 1, 1))
    covariances[40] = np.nan  # a landmark that the model says nothing of
    guess = shape(truth, covariances=covariances)
    path = lines_of(drawn(face, [guess], error_segments=False), place=2)
    outlines = path.reshape(67, -1, 2)[:, :-1]
    centres = np.delete(guess.prediction, 40, axis=0)
    away = geometry.apply(to_picture, outlines.astype(float)) - centres[:, None]
    inverse = np.linalg.inv(covariances[0])
    distance = np.sqrt(np.einsum("kni,ij,knj->kn", away, inverse, away))
    assert np.allclose(distance, 2, atol=2e-3)


def test_every_model_has_its_own_colour_or_marker(face):
    assert len({look(number) for number in range(42)}) == 42
    for number in range(6):
        others = [look(other) for other in range(6) if other != number]
        assert all(
            look(number)[0] != colour and look(number)[1] != marker for colour, marker in others
        )
    _, truth, _ = face
    models = traces(drawn(face, [shape(truth, str(seed), seed) for seed in range(8)]), "markers")
    assert len({(trace.marker.color, trace.marker.symbol) for trace in models}) == 9


def test_a_model_of_the_eyes_is_drawn_with_the_eyes_alone(face):
    _, truth, _ = face
    eyes = shape(truth)
    eyes.prediction[:36] = eyes.prediction[48:] = np.nan
    chart = drawn(face, [eyes])
    model = traces(chart, "markers")[0]
    assert np.isfinite(model.x).sum() == 12
    (error,) = scores.image_errors(eyes.prediction[None], truth[None], "ocular", IBUG68, "eyes")
    assert f"error {100 * error:.2f} %" in chart.alt


def test_a_wild_prediction_does_not_shrink_the_face(face):
    _, truth, (jpeg, _) = face
    wild = shape(truth)
    wild.prediction[30] = [1e6, -1e6]
    left, right = drawn(face, [wild]).figure.layout.xaxis.range
    assert right - left <= decode_jpeg(jpeg).shape[1]


def test_a_hidden_landmark_is_a_square_and_its_predictions_are_hollow(face):
    _, truth, _ = face
    visibility = np.full(68, VISIBLE)
    visibility[:5] = HIDDEN
    model, entry, true, entry_of_truth, legend = traces(
        drawn(face, [shape(truth)], visibility=visibility), "markers"
    )
    assert model.marker.symbol == ("circle-open",) * 5 + ("circle",) * 63
    assert true.marker.symbol == ("square-open",) * 5 + ("circle-open",) * 63
    assert true.text[0].endswith("hidden")
    assert (entry.marker.symbol, entry_of_truth.marker.symbol) == ("circle", "circle-open")
    assert "hidden" in legend.name


def test_a_missing_landmark_is_not_drawn_at_all(face):
    name, truth, crop = face
    there = truth.copy()
    there[3] = np.nan
    guess = shape(truth)
    guess.prediction[3] = np.nan
    model, true = traces(draw(name, there, crop, [guess], "ocular", IBUG68), "markers")
    assert np.isnan([model.x[3], true.x[3]]).all()


def test_without_a_picture_the_shapes_are_drawn_alone(face):
    name, truth, _ = face
    figure = draw(name, truth, None, [shape(truth)], "pupil", IBUG68).figure
    assert not figure.layout.images
    assert np.allclose(places(figure.data[-1]), truth, atol=1e-3)
    assert figure.layout.xaxis.range[0] < truth[:, 0].min()


@pytest.mark.parametrize("hostile", examples.HOSTILE)
def test_a_hostile_name_is_text_in_legend_and_hover(face, hostile):
    chart = drawn(face, [shape(face[1], hostile)])
    model = traces(chart, "markers")[0]
    assert "<" not in model.name
    assert hostile not in model.hovertemplate  # it comes in as data, which is no template


@pytest.mark.slow  # bets on time, which other work on the machine decides
def test_an_overlay_takes_at_most_150_ms(face):
    """Six runs with ellipses, on one core, as JSON."""
    _, truth, _ = face
    covariances = np.tile(np.eye(2), (68, 1, 1))
    shapes = [shape(truth, str(n), n, covariances=covariances) for n in range(6)]
    drawn(face, shapes).figure.to_json()  # Plotly compiles its validators once
    taken = []
    for _ in range(5):
        before = time.process_time()
        drawn(face, shapes).figure.to_json()
        taken.append(time.process_time() - before)
    assert min(taken) < 0.15
