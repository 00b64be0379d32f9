"""What is looked at goes with every link and every click: board, normaliser, runs, baseline."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.webapp.conftest import opened
from webapp.links import carried, url_keys
from webapp.links.carried import Carried
from webapp.links.names import matching
from webapp.scores import boards_in_order

BOARDS = boards_in_order(
    pd.DataFrame(
        [
            ("300w", "common", "all", "gt", 9),
            ("300w", "helen", "all", "gt", 5),
            ("300w", "helen", "eyes", "gt", 2),
            ("synthetic", "common", "all", "gt", 3),
            ("300w", "val", "all", "gt", 20),
        ],
        columns=["dataset", "subset", "landmarks", "box", "entries"],
    )
)
OTHERS = (url_keys.RUN, url_keys.IMAGES, url_keys.COMPARE, url_keys.ABLATIONS)


def link(page: str, here: Carried, last=None) -> dict[str, str]:
    found = carried.parameters(page, here, BOARDS, last)
    assert all(len(values) == 1 for values in found.values())
    return {name: value for name, (value,) in found.items()}


def seen(page: str, before: Carried = Carried(), **address: str) -> Carried:
    return carried.seen(page, {name: [v] for name, v in address.items()}, BOARDS, before)


@pytest.mark.parametrize("page", OTHERS)
def test_the_board_and_the_normaliser_go_to_every_page_and_back(page):
    here = seen(url_keys.LEADERBOARD, lb_subset="Helen", lb_landmarks="eyes", norm="Pupil")
    there = link(page, here)
    assert there[url_keys.EVALUATIONS[page]] == "300w/helen/gt/eyes"
    assert there["norm"] == "Pupil"
    back = link(url_keys.LEADERBOARD, seen(page, **there))
    expected = {"lb_dataset": "300w", "lb_subset": "helen", "lb_landmarks": "eyes", "lb_box": "gt"}
    assert back.items() >= (expected | {"norm": "Pupil"}).items()


def test_other_pages_name_a_board_as_they_offer_it():
    here = seen(url_keys.RUN, run_eval="300W/Helen/gt/no-flip")
    assert link(url_keys.RUN, here)["run_eval"] == "300W/Helen/gt/no-flip"
    for page in (url_keys.IMAGES, url_keys.COMPARE, url_keys.ABLATIONS):
        assert link(page, here)[url_keys.EVALUATIONS[page]] == "300w/helen/gt"


def test_a_page_without_a_link_shows_the_board_that_the_others_show():
    assert seen(url_keys.LEADERBOARD, before=Carried(board="300w/helen/gt")).board is None
    assert "img_eval" not in link(url_keys.IMAGES, seen(url_keys.LEADERBOARD))


def test_runs_go_from_page_to_page_and_a_comparison_keeps_its_second_one():
    compared = seen(url_keys.COMPARE, cmp_runs="aaaa,bbbb")
    assert link(url_keys.IMAGES, compared)["img_runs"] == "aaaa,bbbb"
    assert link(url_keys.RUN, compared)["run"] == "aaaa"
    one = seen(url_keys.RUN, before=compared, run="bbbb")
    last = {"cmp_runs": ["aaaa,bbbb"]}
    assert link(url_keys.COMPARE, one, last)["cmp_runs"] == "aaaa,bbbb"
    other = seen(url_keys.RUN, before=compared, run="cccc")
    assert link(url_keys.COMPARE, other, last)["cmp_runs"] == "cccc,aaaa"


def test_the_baseline_goes_to_ablations_and_is_still_there_on_return():
    here = seen(url_keys.LEADERBOARD, lb_base="forest")
    assert link(url_keys.ABLATIONS, here)["abl_base"] == "forest"
    for page in (url_keys.RUN, url_keys.ABOUT, url_keys.ABLATIONS):
        assert link(url_keys.LEADERBOARD, seen(page, before=here))["lb_base"] == "forest"


def test_a_page_opens_as_it_was_but_not_on_the_page_number_of_another_board():
    last = {"img_eval": ["300w/helen/gt"], "img_sort": ["Improvement"], "img_page": ["3"]}
    same = link(url_keys.IMAGES, Carried(board="300w/helen/gt"), last)
    assert (same["img_sort"], same["img_page"]) == ("Improvement", "3")
    other = link(url_keys.IMAGES, Carried(board="synthetic/common/gt"), last)
    assert other["img_sort"] == "Improvement"
    assert "img_page" not in other


def test_a_link_calls_runs_by_the_beginning_of_an_id_or_by_a_name():
    names = {"aa12": "Forest", "aa34": "hourglass", "bb56": "forest"}
    assert matching("AA", names) == ["aa12", "aa34"]
    assert matching("forest", names) == ["aa12", "bb56"]
    assert matching("", names) == []


def test_the_bar_of_pages_carries_what_the_leaderboard_shows(shop):
    app = shop.leaderboard(lb_subset="challenging", norm="Pupil", lb_base="hourglass-wide")
    links = {one.proto.label: one.proto.query_string for one in app.get("page_link")}
    assert "img_eval=synthetic%2Fchallenging%2Fgt" in links["Images"]
    assert "norm=Pupil" in links["Compare"]
    assert "abl_base=hourglass-wide" in links["Ablations"]
    assert not app.warning


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("views/compare.py", {"cmp_runs": "hourglass-wide,Heatmap-Forest"}),
        ("views/images.py", {"img_runs": "Hourglass-Wide", "img_a": "hourglass-wide"}),
        (None, {"lb_base": "Hourglass-Wide", "lb_subset": "Challenging"}),
        ("views/run.py", {"run": "HOURGLASS-WIDE"}),
    ],
)
def test_names_do_wherever_ids_do_whatever_their_case(shop, page, query):
    app = opened(page, **query)
    assert not app.exception
    assert not [one for one in app.warning if one.icon == ":material/link_off:"]


def test_all_odd_values_of_a_link_stand_in_one_notice(shop):
    app = shop.leaderboard(lb_subset="nowhere", lb_sort="luck", norm="none", lb_base="zzzz")
    (notice,) = (warning.value for warning in app.warning)
    for value in ("nowhere", "luck", "none", "zzzz"):
        assert value in notice
