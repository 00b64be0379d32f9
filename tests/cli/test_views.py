from __future__ import annotations

import pytest

from tests.cli.conftest import Drf

LINK = "https://bench.example.org/compare?norm=Pupil&runs=3f2a9c1e&runs=aa2a9c1e"


@pytest.mark.usefixtures("filled")
def test_a_view_is_added_listed_and_removed(drf: Drf) -> None:
    added = drf("views", "add", "tall", LINK)
    assert (added.code, added.out) == (0, "")
    assert "?view=tall" in added.err
    (listed,) = drf("views", "list", "--json").json
    assert listed["name"] == "tall"
    assert listed["link"] == "compare?norm=Pupil&runs=3f2a9c1e&runs=aa2a9c1e"
    assert listed["link"] in drf("views", "list").out
    assert drf("views", "remove", "tall").code == 0
    assert drf("views", "list", "--json").json == []


@pytest.mark.usefixtures("filled")
def test_a_view_that_is_not_there_exits_with_3_and_an_odd_one_with_2(drf: Drf) -> None:
    assert drf("views", "remove", "tall").code == 3
    assert drf("views", "add", "tall", "https://bench.example.org/").code == 2
    assert drf("views", "add", "tall", LINK).code == 0
    assert drf("views", "add", "tall", LINK).code == 2


def test_no_store_is_made_for_a_view(drf: Drf) -> None:
    assert drf("views", "add", "tall", LINK).code == 3
    assert drf("views", "list").code == 3
