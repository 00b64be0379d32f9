"""The page of faces: order, filters, the large face, and all of it in the link."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from db.analysis.paired import Paired
from drf.data.crops import decode_jpeg
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.webapp import examples
from tests.webapp.conftest import chosen, opened, texts
from tests.webapp.examples import HOSTILE
from webapp import selection
from webapp.faces import contact_sheet, table
from webapp.faces.tiles import draw
from webapp.store import StoredFace

NAMES = {"wide": "hourglass-wide", "narrow": "hourglass", "floor": "mean-shape"}
EVALUATION = {"img_eval": "synthetic/common/gt"}


def images(shop, *keys, **query):
    if keys:
        query["img_runs"] = ",".join(shop.ids[key][:8] for key in keys)
    return opened("views/images.py", **EVALUATION, **query)


def tiles(app):
    """Value and name of every face of the grid, as its button says them."""
    buttons = [button for button in app.button if button.key.startswith("img_open_")]
    return [button.label.replace("\\", "").split("** ") for button in buttons]


def errors_of(key, norm="ocular"):
    error, seed = {"wide": (0.034, 1), "narrow": (0.041, 0), "floor": (0.16, 3)}[key]
    made = examples.evaluation("common", error, seed)
    names = [name.rpartition("/")[2] for name in made.names]
    return dict(zip(names, made.errors(norm), strict=True))


@pytest.mark.parametrize("norm", ["Ocular", "Pupil"])
def test_faces_are_sorted_by_the_error_of_a_run(shop, norm):
    app = images(shop, "wide", "narrow", norm=norm, img_a=shop.ids["narrow"][:8])
    assert not app.exception
    expected = errors_of("narrow", norm.lower())
    ordered = sorted(expected, key=lambda name: (-expected[name], name))[:24]
    assert [name for _, name in tiles(app)] == ordered
    assert tiles(app)[0][0] == f"**{100 * expected[ordered[0]]:.2f} %"


def test_smallest_first_turns_the_order_round_and_pages_follow(shop):
    app = images(shop, "wide", img_order="Smallest first", img_page="2")
    expected = errors_of("wide")
    ordered = sorted(expected, key=lambda name: (expected[name], name))
    assert [name for _, name in tiles(app)] == ordered[24:]


def test_faces_are_sorted_by_improvement_of_one_run_over_another(shop):
    app = images(shop, "wide", "narrow", img_sort="Improvement")
    gain = {name: errors_of("narrow")[name] - error for name, error in errors_of("wide").items()}
    assert [name for _, name in tiles(app)] == sorted(gain, key=lambda n: (-gain[n], n))[:24]
    turned = images(
        shop, "wide", "narrow", img_sort="Improvement",
        img_a=shop.ids["narrow"][:8], img_b=shop.ids["wide"][:8], img_order="Smallest first",
    )  # fmt: skip
    assert [name for _, name in tiles(turned)] == [name for _, name in tiles(app)]


def test_faces_are_sorted_by_disagreement_between_runs(shop):
    app = images(shop, "wide", "narrow", "floor", img_sort="Disagreement")
    made = [
        examples.evaluation("common", error, seed)
        for error, seed in ((0.034, 1), (0.041, 0), (0.16, 3))
    ]
    predicted = np.stack([one.predictions for one in made])
    apart = scores.disagreement(predicted, made[0].ground_truth, "ocular", IBUG68)
    expected = sorted(zip(-apart, made[0].names, strict=True))
    assert [f"common/{name}" for _, name in tiles(app)] == [name for _, name in expected[:24]]
    assert tiles(app)[0][0] == f"**disagreement {-100 * expected[0][0]:.2f} %"


def test_one_run_has_no_disagreement_and_a_link_that_wants_it_is_told(shop):
    app = images(shop, "wide", img_sort="Disagreement")
    assert "Disagreement" in app.warning[0].value
    assert "disagreement" not in tiles(app)[0][0]


def test_a_range_of_errors_filters_and_its_ends_are_in_the_link(shop):
    app = images(shop, "wide", img_error=["2", "3.5"])
    expected = {name for name, error in errors_of("wide").items() if 0.02 <= error <= 0.035}
    assert {name for _, name in tiles(app)} == expected
    app.select_slider(key="img_error").set_value(("0", "0.5")).run()
    assert "No face has an error in this range" in texts(app)


@pytest.mark.parametrize("ends", [["7"], ["1", "x"], ["<b>", "2"], ["1", "2", "3"]])
def test_a_range_that_is_none_is_told(shop, ends):
    app = images(shop, "wide", img_error=ends)
    assert not app.exception
    assert "is not valid" in app.warning[0].value
    assert set(app.select_slider(key="img_error").value) <= set(table.LIMITS)


def test_another_order_starts_at_its_first_page(shop):
    app = images(shop, "wide", img_page="2")
    assert len(tiles(app)) == 6
    chosen(app, "img_order", "Smallest first")
    assert len(tiles(app)) == 24


def test_the_best_methods_are_compared_without_a_choice_and_the_full_link_names_them(shop):
    app = opened("views/images.py")
    assert app.multiselect[0].value == [shop.ids["wide"], shop.ids["narrow"]]
    app.context = {"url": "https://bench.example.org/images"}
    app.run()
    (link,) = (code.value for code in app.code if code.value.startswith("https://bench"))
    assert f"img_runs={shop.ids['wide'][:8]}%2C{shop.ids['narrow'][:8]}" in link
    assert "img_error=0&img_error=no%20limit" in link
    assert link.startswith("https://bench.example.org/images?")


def test_runs_that_are_not_there_are_told_and_the_others_shown(shop):
    wanted = f"{shop.ids['wide'][:8]},{shop.ids['untested'][:8]},<b>x</b>"
    app = opened("views/images.py", **EVALUATION, img_runs=wanted)
    assert not app.exception
    assert app.multiselect[0].value == [shop.ids["wide"]]
    said = [warning.value for warning in app.warning]
    assert any("was not evaluated on this board" in sentence for sentence in said)
    assert any("\\<b\\>x" in sentence and "not in the store" in sentence for sentence in said)


def test_no_run_is_a_word_and_no_error(shop):
    app = opened("views/images.py", **EVALUATION, img_runs="")
    assert not app.exception
    assert "Choose at least one run" in texts(app)


def large(app):
    """The large faces that are open; the strip above the grid is of bars."""
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    return [chart for chart in charts if chart["data"][0]["type"] != "bar"]


def test_a_click_opens_the_face_large_with_every_chosen_run(shop):
    app = images(shop, "wide", "narrow", "floor")
    assert not large(app)
    first = tiles(app)[0][1]
    app.button(key=next(b.key for b in app.button if b.label.endswith(first))).click().run()
    assert not app.exception
    assert app.query_params["img_face"] == f"common/{first}"
    (figure,) = large(app)
    named = [trace["name"] for trace in figure["data"] if trace.get("name")]
    assert named == ["hourglass-wide", "hourglass", "mean-shape", "ground truth"]
    assert figure["layout"]["images"][0]["source"].startswith("data:image/jpeg;base64,")
    said = texts(app)
    for key in ("wide", "narrow", "floor"):
        assert f"{100 * errors_of(key)[first]:.2f} % {NAMES[key]}" in said


def test_a_link_opens_a_face_and_leafs_through_the_order_of_the_page(shop):
    second = tiles(images(shop, "wide"))[1][1]
    app = images(shop, "wide", img_face=f"common/{second}")
    assert "2 of 30, by the error of hourglass\\-wide" in texts(app)
    next(button for button in app.button if button.label == "Next").click().run()
    assert "3 of 30" in texts(app)
    assert app.query_params["img_face"] != f"common/{second}"


def test_a_face_that_the_filters_leave_out_still_opens(shop):
    worst = tiles(images(shop, "wide"))[0][1]
    app = images(shop, "wide", img_face=f"common/{worst}", img_error=["0", "2"])
    assert large(app)
    assert "exclude this face" in texts(app)


def test_a_face_without_a_picture_is_drawn_alone(shop):
    app = images(shop, "wide", img_face=examples.WITHOUT_PICTURE)
    (figure,) = large(app)
    assert "images" not in figure["layout"]
    assert "No picture of this face" in texts(app)


@pytest.mark.parametrize("face", ["nobody", "", "../../etc/passwd", HOSTILE[0]])
def test_a_face_that_is_not_there_is_told(shop, face):
    app = images(shop, "wide", img_face=face)
    assert not app.exception
    assert not large(app)
    assert "not on this board" in app.warning[0].value
    assert HOSTILE[0] not in texts(app)


def test_hostile_names_of_runs_are_text(shop):
    app = images(shop, "image", "script", "formula", "wide", img_face="common/00000")
    assert not app.exception
    for name in HOSTILE:
        assert name not in texts(app)
    legend = [trace["name"] for trace in large(app)[0]["data"] if trace.get("name")]
    assert not any("<" in name for name in legend)


def test_three_runs_start_without_ellipses_and_error_lines_and_a_link_shows_them(shop):
    def switches(*keys, **query):
        app = images(shop, *keys, img_face="common/00000", **query)
        assert not app.exception
        return app.toggle(key="img_segments").value

    assert switches("wide", "narrow")
    assert not switches("wide", "narrow", "floor")
    assert switches("wide", "narrow", "floor", img_segments="true")
    assert not switches("wide", img_segments="false")


def test_one_run_alone_is_drawn_in_the_colour_that_it_has_among_all(shop):
    keys = ("wide", "narrow", "floor")
    (together,) = large(images(shop, *keys, img_face="common/00000"))
    (alone,) = large(images(shop, *keys, img_face="common/00000", img_shown="2"))
    colours = {
        trace["name"]: trace["marker"]["color"] for trace in together["data"] if trace.get("name")
    }
    named = [trace for trace in alone["data"] if trace.get("name")]
    assert [trace["name"] for trace in named] == ["hourglass", "ground truth"]
    assert named[0]["marker"]["color"] == colours["hourglass"]


def test_a_face_has_its_error_by_region_and_a_link(shop):
    app = images(shop, "wide", "narrow", img_face="common/00000")
    made = [examples.evaluation("common", *of) for of in ((0.034, 1), (0.041, 0))]
    said = texts(app)
    for one in made:
        errors = scores.point_errors(
            one.predictions[:1], one.ground_truth[:1], "ocular", IBUG68, "eyes"
        )
        assert f">{100 * errors.mean():.2f}</td>" in said
    app.context = {"url": "https://bench.example.org/images"}
    app.run()
    links = [code.value for code in app.code if "img_face=common%2F00000" in code.value]
    assert links


def test_every_run_of_a_face_is_in_its_tile_with_its_error(shop):
    app = images(shop, "wide", "narrow", "floor")
    first = tiles(app)[0][1]
    alt = app.get("image")[0].proto.imgs[0].alt
    for key, name in NAMES.items():
        assert f"{name} {100 * errors_of(key)[first]:.2f} %" in alt
    widths = [decode_jpeg(tile_of(number)).shape for number in (1, 3)]
    assert widths[1][1] > 2.5 * widths[1][0]
    assert widths[0][1] == widths[0][0]


def tile_of(runs):
    _, truth, crops = examples.faces("common")
    face = StoredFace(IBUG68, truth[0], truth[0] + 2, (crops[0].jpeg, crops[0].to_picture))
    return draw([face] * runs)


def test_labels_that_all_runs_contradict_come_first_and_are_listed(shop):
    app = images(shop, "wide", "narrow", "floor", img_sort="Doubtful label")
    assert not app.exception
    made = [examples.evaluation("common", *of) for of in ((0.034, 1), (0.041, 0), (0.16, 3))]
    predicted = np.stack([one.predictions for one in made])
    faces = predicted, made[0].ground_truth, "ocular", IBUG68
    consensus, apart = scores.consensus_errors(*faces), scores.disagreement(*faces)
    expected = sorted(zip(apart - consensus, made[0].names, strict=True))
    assert [f"common/{name}" for _, name in tiles(app)] == [name for _, name in expected[:24]]
    (listed,) = (frame.value for frame in app.dataframe)
    assert list(listed["name"]) == [name for _, name in expected]
    assert listed["doubt"].iloc[0] == pytest.approx(-100 * expected[0][0], rel=1e-3)


def test_the_figure_of_a_page_has_every_face_and_run_and_no_markup_of_names():
    rows = [("common/1", "3.10 %"), ("common/2", "2.00 %")]
    jpeg = tile_of(1)
    drawn = contact_sheet.svg(["a", HOSTILE[0]], rows, [[jpeg, jpeg], [jpeg, None]])
    root = ElementTree.fromstring(drawn)
    images = [element for element in root if element.tag.endswith("image")]
    assert len(images) == 3
    said = [element.text for element in root if element.tag.endswith("text")]
    assert said[0] == "a"
    assert said[1].startswith("<img src=x")
    assert said[2:] == ["1", "3.10 %", "2", "2.00 %"]


def frame(errors, **more):
    names = ("b/2", "a/1", "a/3")
    paired = Paired(np.array([5, 6, 7]), names, {"ocular": np.zeros((2, 3))})
    return table.rows(paired, np.array(errors), a=0, **more)


def test_equal_values_are_ordered_by_name_and_a_part_can_be_chosen():
    rows = frame([[0.02, 0.02, 0.01], [0.03, 0.01, 0.01]], b=1)
    whole = {"sort": "Error", "order": "Largest first", "limits": ("0", "no limit")}
    assert list(table.arrange(rows, **whole)["name"]) == ["a/1", "b/2", "a/3"]
    assert list(table.arrange(rows, **whole, part="a")["name"]) == ["a/1", "a/3"]
    assert list(rows["improvement"]) == pytest.approx([0.01, -0.01, 0])
    assert table.caption(rows.iloc[0], "Improvement") == "2.00 % (−1.00)"
    assert table.caption(rows.iloc[1], "Improvement") == "2.00 % (+1.00)"


def test_ends_of_a_range_belong_to_it():
    rows = frame([[0.02, 0.035, 0.6], [0.0, 0.0, 0.0]])
    query = {"sort": "Error", "order": "Largest first"}
    assert len(table.arrange(rows, **query, limits=("2", "3.5"))) == 2
    assert len(table.arrange(rows, **query, limits=("0", "no limit"))) == 3
    assert len(table.arrange(rows, **query, limits=("0", "50"))) == 2


def test_the_best_of_methods_comes_before_its_seeds():
    rows = pd.DataFrame(
        {"ocular_nme": [1, 2, 3, 4], "condition": "finished"}, index=["a0", "a1", "b0", "a2"]
    )
    methods = pd.Series({"a0": "a", "a1": "a", "b0": "b", "a2": "a"})
    assert selection.best_of_methods(rows, methods, 2) == ["a0", "b0"]
    assert selection.best_of_methods(rows, methods, 3) == ["a0", "b0", "a1"]
    assert selection.best_of_methods(rows, methods, 9) == ["a0", "b0", "a1", "a2"]
