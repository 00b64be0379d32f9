"""What people say of runs and views, method cards and what is new, in the app and in the export."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording import runs, words
from db.recording.saved_links import add_view
from drf import presets
from tests.db import examples
from tests.webapp.conftest import Shop, board_table, opened, texts
from webapp.leaderboard import words as board_words
from webapp.leaderboard.rows import load_rows
from webapp.run import facts
from webapp.static_site.site import write_site
from webapp.store import StoreVersion

HOSTILE = "<b>bold</b> [link](https://example.org) $x$"


@pytest.fixture(scope="module")
def described(filled: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The example store with words on two runs, views, and a run that was deleted."""
    path = tmp_path_factory.mktemp("described") / "drf.db"
    shutil.copy(filled.path, path)
    store = open_store(path)
    wide = filled.ids["wide"]
    words.write_note(store, wide, f"first line\n{HOSTILE}", "Ada")
    words.add_tags(store, wide, ["for-paper", "wide"])
    words.set_star(store, wide, starred=True)
    add_view(store, "told", "?norm=Pupil", title=f"Why {HOSTILE}", author="Ada", note="One line.")
    add_view(store, "plain", "?norm=Pupil")
    add_view(store, "damaged", "?norm=Pupil", title="Damaged")
    store.execute("UPDATE views SET link = 'nowhere' WHERE name = 'damaged'")
    runs.delete_run(store, examples.add_finished_run(store, name="deleted"))
    store.close()
    return Shop(path, filled.ids)


@pytest.fixture
def shop(described: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("DRF_DB", str(described.path))
    return described


def test_the_page_of_a_run_shows_note_tags_and_star_as_they_are(shop: Shop) -> None:
    app = shop.run("wide")
    assert not app.exception
    said = texts(app)
    assert "first line  \n\\<b\\>bold" in said
    assert "— Ada, " in said
    assert all(word in said for word in ("starred", "for\\-paper", "wide"))


def test_a_run_that_nobody_described_has_no_words(shop: Shop) -> None:
    assert "— " not in texts(shop.run("collapsed"))


def test_the_board_has_tags_and_filters_by_one(shop: Shop) -> None:
    app = shop.leaderboard(lb_rows="Runs", lb_vary="false")
    tags = board_table(app)["tags"].tolist()
    assert [tag for tag in tags if tag] == ["★ for-paper, wide"]
    app = shop.leaderboard(lb_rows="Runs", lb_tag="for-paper", lb_vary="false")
    assert board_table(app)["tags"].tolist() == ["★ for-paper, wide"]
    unknown = shop.leaderboard(lb_tag="nothing")
    assert "nothing" in unknown.warning[0].value


def test_a_board_without_words_has_neither_column_nor_choice(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRF_DB", str(filled.path))
    app = filled.leaderboard(lb_vary="false")
    assert "tags" not in board_table(app)
    assert "lb_tag" not in {box.key for box in app.selectbox}


def test_a_method_has_the_tags_of_all_its_runs() -> None:
    one, other = words.Words(tags=("b", "A")), words.Words(tags=("a", "c"), starred=True)
    assert words.together([one, other]).short() == "★ a, b, c"
    assert words.together([]) == words.NOTHING


def test_compare_lists_the_notes_of_its_runs(shop: Shop) -> None:
    chosen = ",".join(shop.ids[key][:8] for key in ("wide", "narrow"))
    app = opened("views/compare.py", cmp_runs=chosen)
    assert "first line" in texts(app)
    assert "★ · for\\-paper, wide" in texts(app)


def test_a_named_view_says_why_it_was_sent(shop: Shop) -> None:
    app = opened(view="told")
    assert not app.exception
    assert "**Why \\<b\\>bold" in texts(app)
    assert "by Ada, 20" in texts(app)
    assert "One line\\." in texts(app)
    assert "**plain**" not in texts(opened(view="plain"))
    assert "Why" not in texts(opened("views/about.py", from_view="told")).split("Named views")[0]


def test_about_lists_every_view_and_a_damaged_one_takes_no_other_with_it(shop: Shop) -> None:
    said = texts(opened("views/about.py"))
    assert all(word in said for word in ("One line", "**plain**", "damaged\\: "))


@pytest.mark.parametrize("since", ["0", "2020-01-01"])
def test_the_board_tells_what_is_new_since_a_day_or_a_revision(shop: Shop, since: str) -> None:
    app = shop.leaderboard(since=since, lb_dataset="synthetic", lb_subset="common")
    assert not app.exception
    (new,) = [one for one in app.expander if one.label.startswith("New since")]
    assert "added" in new.label
    assert set(new.dataframe[0].value["What"]) >= {"added"}
    nothing = shop.leaderboard(since="2100-01-01")
    assert any(one.label.endswith("nothing") for one in nothing.expander)


@pytest.mark.parametrize("since", ["banana", "999999"])
def test_an_odd_since_is_told_and_ignored(shop: Shop, since: str) -> None:
    app = shop.leaderboard(since=since)
    assert since in app.warning[0].value
    assert not [one for one in app.expander if one.label.startswith("New since")]


@pytest.mark.parametrize("page", [None, "views/run.py"])
def test_a_link_opens_the_card_of_a_method(shop: Shop, page: str | None) -> None:
    app = opened(page, card="hourglass")
    assert not app.exception
    said = texts(app)
    preset = presets.load("hourglass")
    assert "Known weakness" in said
    assert f"({preset.paper_url})" in said
    odd = opened(page, card="no-such-method")
    assert "has no card" in odd.warning[0].value


@pytest.mark.parametrize("name", [n for n in presets.names() if not n.startswith("historical/")])
def test_every_preset_of_today_has_a_card(name: str) -> None:
    preset = presets.load(name)
    assert preset.description
    assert preset.weakness
    assert (preset.paper is None) == (preset.paper_url is None)
    titles = [fact.title for fact in facts.card(preset, 1e6, 1e8)]
    assert titles[:3] == ["What it is", "Size", "Known weakness"]
    assert facts.preset("no-such-method") is facts.preset(None) is None


def test_the_export_has_words_and_card(shop: Shop, tmp_path) -> None:
    con = open_reader(shop.path)
    chosen = bundle.select(con, runs=[shop.ids["wide"], shop.ids["narrow"]])
    write_site(con, tmp_path / "site", chosen, faces=0, images=False)
    con.close()
    page = (tmp_path / "site/runs" / f"{shop.ids['wide']}.html").read_text()
    assert "first line\n&lt;b&gt;bold&lt;/b&gt;" in page
    assert all(word in page for word in ("★ starred", "for-paper", "Ada, ", "About this method"))
    boards = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    tags = {row["run"]: row["tags"] for one in boards for row in one["runs"]}
    assert tags == {shop.ids["wide"]: "★ for-paper, wide", shop.ids["narrow"]: ""}
    assert {row["tags"] for one in boards for row in one["methods"]} >= {"★ for-paper, wide"}


def test_rows_keep_their_order_and_number_under_a_tag(shop: Shop) -> None:
    current = StoreVersion(str(shop.path), 1)
    board = {"dataset": "synthetic", "subset": "common", "landmarks": "all", "box": "gt"}
    rows = load_rows(current, as_runs=True, **board)
    assert board_words.having(current, rows, "All") is rows
    assert len(board_words.having(current, rows, "FOR-PAPER")) == 1


def test_a_store_that_no_word_was_written_in_opens(shop: Shop, tmp_path, monkeypatch) -> None:
    """A damaged note is told in a sentence, by the page and not by a traceback."""
    path = tmp_path / "bad.db"
    shutil.copy(shop.path, path)
    con = sqlite3.connect(path)
    con.execute("UPDATE notes SET text = ''")
    con.commit()
    con.close()
    monkeypatch.setenv("DRF_DB", str(path))
    assert not opened("views/run.py", run=shop.ids["wide"][:8]).exception
