"""Links that an earlier version made open the view that they asked for."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from db import method_ids, reads
from db.connection import open_reader, open_store
from tests.conftest import REPOSITORY
from tests.webapp.conftest import opened

GOLDEN = REPOSITORY / "tests/golden"
LINKS = GOLDEN.joinpath("links.txt").read_text().split()
BOUND = (  # key of today, link of the golden file -> value that the page has for it
    ("norm", "lb_order=Worst", "Pupil"),
    ("lb_dataset", "lb_order=Worst", "synthetic"),
    ("lb_subset", "lb_order=Worst", "challenging"),
    ("lb_landmarks", "lb_order=Worst", "all"),
    ("lb_box", "lb_order=Worst", "gt"),
    ("lb_sort", "lb_order=Worst", "FR@8"),
    ("lb_order", "lb_order=Worst", "Worst first"),
    ("lb_rows", "lb_order=Worst", "Runs"),
    ("lb_both", "lb_order=Worst", True),
    ("lb_landmarks", "lb_points=eyes", "eyes"),
    ("norm", "lb_points=eyes", "Ocular"),
    ("lb_sort", "lb_base=", "AUC@10"),
    ("lb_cols", "lb_base=", ["NME", "Parameters"]),
    ("lb_vary", "lb_base=", False),
    ("run", "run_tab=Forest", "afd43d79"),
    ("run_eval", "run_tab=Forest", "synthetic/challenging/gt"),
    ("run_tab", "run_tab=Forest", "Forest"),
    ("norm", "run_tab=Forest", "Pupil"),
    ("run", "run_tab=Leaves", "26febb35"),
    ("run_tab", "run_tab=Leaves", "Leaves"),
    ("run_leaves", "run_tab=Leaves", "All"),
    ("run_tree", "run_tab=Leaves", "All"),
    ("run_page", "run_tab=Leaves", 1),
    ("run", "run_tab=Curves", "23bb6ee0"),
    ("run_tab", "run_tab=Curves", "Training"),
    ("run_epoch", "run_tab=Curves", "1"),
    ("run", "run_tab=Configuration", "579a65d6"),
    ("run_eval", "run_tab=Configuration", "synthetic/challenging/gt/eyes"),
    ("run_tab", "run_tab=Configuration", "Configuration"),
    ("run_changed", "run_tab=Configuration", False),
    ("img_eval", "img_sort=", "synthetic/challenging/gt"),
    ("img_runs", "img_sort=", "afd43d79,23bb6ee0"),
    ("img_sort", "img_sort=", "Improvement"),
    ("img_order", "img_sort=", "Largest first"),
    ("img_a", "img_sort=", "afd43d79"),
    ("img_b", "img_sort=", "23bb6ee0"),
    ("img_page", "img_sort=", 2),
    ("img_runs", "img_face=", "afd43d79"),
    ("img_face", "img_face=", "challenging/00003"),
    ("img_segments", "img_face=", False),
    ("img_ellipses", "img_face=", True),
    ("cmp_eval", "cmp_curve=", "synthetic/challenging/gt"),
    ("cmp_runs", "cmp_curve=", "afd43d79,26febb35"),
    ("cmp_curve", "cmp_curve=", "Training loss"),
    ("cmp_x", "cmp_curve=", "afd43d79"),
    ("cmp_y", "cmp_curve=", "26febb35"),
    ("cmp_all", "cmp_curve=", True),
    ("abl_eval", "abl_by=", "synthetic/challenging/gt"),
    ("abl_base", "abl_by=", "26febb35"),  # the setting of afd43d79, by its first seed
    ("live_curve", "live_every=", "Training loss"),
    ("live_window", "live_every=", "7 days"),
    ("live_refresh", "live_every=", "30 s"),
    ("norm", "view=worst", "Pupil"),
    ("img_eval", "view=worst", "synthetic/challenging/gt"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A copy of the golden store that this version has migrated."""
    path: Path = tmp_path_factory.mktemp("golden") / "drf.db"
    shutil.copy(GOLDEN / "store/drf.db", path)
    open_store(path).close()
    return path


@pytest.fixture(scope="module")
def apps(store) -> dict[str, AppTest]:
    """Every link, opened on that store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRF_DB", str(store))
        return {link: by_link(link) for link in LINKS}


def by_link(link: str) -> AppTest:
    parts = urlsplit(link)
    page = f"views/{parts.path}.py" if parts.path else None
    return opened(page, **parse_qs(parts.query))


def tells_the_rank(sentence: str) -> bool:
    """Whether a sentence is about the run: those of the golden store trained for two epochs."""
    return sentence.startswith("Not ranked") or sentence.endswith("it has learned nothing\\.")


@pytest.mark.parametrize("link", LINKS)
def test_a_link_of_an_earlier_version_opens_without_a_complaint(apps, link):
    app = apps[link]
    assert not app.exception
    said = [element.value for element in (*app.error, *app.warning)]
    assert not [value for value in said if not tells_the_rank(value)]


@pytest.mark.parametrize(("key", "link", "expected"), BOUND)
def test_a_link_of_an_earlier_version_shows_what_it_asked_for(apps, key, link, expected):
    (found,) = (app for name, app in apps.items() if link in name)
    if key in found.session_state:
        assert found.session_state[key] == expected
    else:
        assert found.query_params[key] in (expected, [expected])


def test_a_method_of_an_earlier_version_is_the_baseline_under_its_present_id(apps, store):
    """Its id is a hash of the configuration, whose keys have other names today."""
    (found,) = (app for name, app in apps.items() if "lb_base=" in name)
    with contextlib.closing(open_reader(store)) as con:
        runs = reads.runs(con).set_index("name")["id"]
        methods = method_ids.method_of_runs(con)
    (expected,) = set(methods[runs["golden-cascade"]])
    assert expected != "948bfa6e4cec"
    assert methods[found.session_state["lb_base_choice"]] == expected
