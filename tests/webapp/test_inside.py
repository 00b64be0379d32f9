"""The inside of a run on its page: readings of a forest, its leaves, the same faces by epoch."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.webapp import examples
from tests.webapp.conftest import board_table, opened, texts
from tests.webapp.test_links import copied
from tests.webapp.test_run import specs
from webapp.links import url_keys
from webapp.run import leaves


def tabs(app):
    return [tab.label for tab in app.tabs]


def pictures(app):
    return [image for element in app.get("image") for image in element.proto.imgs]


def test_forest_and_leaves_are_there_for_forests_alone(shop):
    plain = ["Results", "Faces", "Slices", "Training", "Configuration"]
    assert tabs(shop.run("wide")) == plain
    assert tabs(shop.run("floor")) == plain
    assert tabs(shop.run("forest")) == [*plain[:4], "Forest", "Leaves", "Configuration"]


def test_a_link_to_a_section_that_a_run_lacks_is_told(shop):
    app = shop.run("wide", run_tab="Leaves")
    assert not app.exception
    assert "sets “Section” to “Leaves”, which does not exist here; “Results” is shown" in (
        app.warning[0].value
    )


def test_readings_have_titles_help_and_alt_texts(shop):
    app = shop.run("forest", run_tab="Forest")
    assert not app.exception
    assert len(specs(app)) == 8
    titles = [element.value for element in app.subheader]
    assert titles[:2] == [
        "KL beside coordinate error",
        "Standard deviation of predictions over labels",
    ]
    assert "the model has collapsed" in texts(app)
    for chart in app.get("plotly_chart"):
        assert chart.proto.alt


def test_what_has_no_place_there_stays_with_the_curves(shop):
    app = shop.run("forest", run_tab="Training")
    titles = [element.value for element in app.subheader]
    assert titles == [
        *(
            "Training loss",
            "Validation",
            "Gate drift",
            "Learning rate",
            "Validation faces after epoch 40 of 40",
        )
    ]


def test_why_a_run_collapsed_stands_under_its_name(shop):
    app = shop.run("collapsed")
    assert "collapsed]" in texts(app)
    (reason,) = (element.value for element in app.error)
    assert reason.startswith("The predictions spread 0\\.030 times as wide as the labels")
    assert not shop.run("forest").error


def test_a_collapsed_run_looks_so_on_the_board(shop):
    table = board_table(shop.leaderboard())
    names = dict(zip(table["name"], table["status"], strict=True))
    assert names["↯ historical/eyes (collapsed)"] == "↯ collapsed"
    assert names["heatmap-forest"] == "✓ finished"


def test_the_same_faces_are_shown_for_the_epoch_of_the_link(shop):
    last, early = (
        shop.run("forest", run_tab="Training", **query) for query in ({}, {"run_epoch": "4"})
    )
    assert last.select_slider(key="run_epoch").value == "Last"
    assert last.select_slider(key="run_epoch").options[0] == "0"
    for app, epoch in ((last, 40), (early, 4)):
        assert not app.exception
        shown = pictures(app)
        assert len(shown) == 6
        assert shown[0].alt.startswith(f"Epoch {epoch}: validation face challenging/00000: error")
    assert [p.url for p in pictures(last)] != [p.url for p in pictures(early)]


def test_the_error_under_a_face_is_its_own(shop):
    names, truth, _ = examples.faces("challenging")
    app = shop.run("forest", run_tab="Training", run_epoch="0", norm="Pupil")
    noise = 12 * examples.np.random.default_rng(7).standard_normal((6, 68, 2))
    expected = scores.image_errors(truth[:6] + noise, truth[:6], "pupil", IBUG68)
    for picture, name, error in zip(pictures(app), names, expected, strict=False):
        assert name in picture.alt
        assert f"**{100 * error:.2f} %**" in picture.caption


def test_another_epoch_can_be_chosen(shop):
    app = shop.run("forest", run_tab="Training")
    app.select_slider(key="run_epoch").set_value("8").run()
    assert pictures(app)[0].alt.startswith("Epoch 8:")


def test_leaves_are_shown_a_page_at_a_time_with_alt_texts(shop):
    app = shop.run("forest", run_tab="Leaves")
    assert not app.exception
    first = pictures(app)
    assert len(first) == leaves.PAGE
    assert first[0].alt.startswith("Leaf 0 of tree 0, 36 · right eye, outer corner: 20.00 %")
    assert "attracts 6 faces, weights 0.90 to 0.40" in first[0].alt
    assert first[0].caption.startswith("**20\\.00 \\%** · leaf 0 of tree 0")
    second = pictures(shop.run("forest", run_tab="Leaves", run_page="2"))
    assert len(second) == 31 - leaves.PAGE
    assert not {picture.alt for picture in first} & {picture.alt for picture in second}


def test_leaves_are_chosen_by_tree_and_by_what_they_speak_of(shop):
    app = shop.run("forest", run_tab="Leaves", run_tree="1")
    assert len(pictures(app)) == 15
    assert all("of tree 1," in picture.alt for picture in pictures(app))
    app.selectbox(key="run_leaves").select("landmark 54").run()
    assert len(pictures(app)) == 7
    assert all(
        "of tree 1, 54 · outer lip, left corner:" in picture.alt for picture in pictures(app)
    )


def test_a_page_that_the_filters_leave_empty_is_not_shown(shop):
    app = shop.run("forest", run_tab="Leaves", run_page="2")
    app.selectbox(key="run_tree").select("0").run()
    assert not app.exception
    assert len(pictures(app)) == 16
    whole = shop.run("forest", run_tab="Leaves", run_leaves=examples.HOSTILE[1], run_tree="0")
    assert not whole.exception
    assert "No leaf of this tree was kept" in texts(whole)


def test_a_leaf_without_distribution_that_attracts_nobody_says_so(shop):
    app = shop.run("forest", run_tab="Leaves", run_leaves=examples.HOSTILE[1])
    assert "distribution" not in texts(app)
    assert "distribution" in texts(shop.run("forest", run_tab="Leaves"))
    (picture,) = pictures(app)
    assert picture.alt.endswith("attracts no face more than its siblings do")
    assert examples.HOSTILE[1] not in picture.caption


def test_the_link_of_a_view_of_leaves_reopens_it(shop):
    app = shop.run("forest", run_tab="Leaves", run_leaves="landmark 36")
    app.selectbox(key="run_tree").select("1").run()
    query = dict(parse_qsl(urlsplit(copied(app, url_keys.RUN)).query))
    again = opened("views/run.py", **query)
    assert not again.warning
    assert [p.alt for p in pictures(again)] == [p.alt for p in pictures(app)]


@pytest.mark.parametrize(
    ("tab", "key", "control"),
    [
        ("Training", "run_epoch", "Epoch"),
        ("Leaves", "run_leaves", "Landmarks"),
        ("Leaves", "run_tree", "Tree"),
        ("Leaves", "run_page", "Page"),
    ],
)
def test_an_unknown_value_in_a_link_is_told(shop, tab, key, control):
    app = shop.run("forest", run_tab=tab, **{key: "77"})
    assert not app.exception
    assert pictures(app)
    (notice,) = (element.value for element in app.warning)
    assert f"sets “{control}” to “77”" in notice
