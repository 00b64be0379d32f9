"""What anybody wrote is text, the store is only read, and a fault is one sentence."""

import json
import sqlite3
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
import streamlit.config
from threadpoolctl import threadpool_info, threadpool_limits

from db.connection import open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import end_run, record_epoch, start_run
from db.recording.saved_links import add_view
from db.recording.words import add_tags, write_note
from db.tables.derived import joined_trained_on
from db.transactions import writing
from drf.landmarks.markup import IBUG68
from tests.db.examples import older_store
from tests.webapp.conftest import APP, SHOW_UNEXPECTED, opened, texts
from tests.webapp.examples import HOSTILE, HOURGLASS, add_run, evaluation, faces
from webapp import photo, store
from webapp.faces import figure
from webapp.leaderboard import rows as leaderboard_rows
from webapp.ui import error_pages
from webapp.ui.text import plain

TABS = ("Results", "Faces", "Training", "Forest", "Leaves", "Configuration")


def markdown_of(app):
    """Every string of the page that Streamlit reads as Markdown: texts, labels, tooltips and
    captions, also those of titles, badges, links, buttons and progress bars."""
    return "\n".join(_markdown_in(app._tree))


_MARKDOWN = ("body", "label", "help", "caption", "text", "delta")
_NO_MARKDOWN = ("html", "plotly_chart", "code", "arrow_data_frame", "bidi_component")


def _markdown_in(block):
    if (proto := getattr(block, "proto", None)) is not None and block.type not in _NO_MARKDOWN:
        yield from _markdown_of_proto(proto)
    for child in getattr(block, "children", {}).values():
        yield from _markdown_in(child)


def _markdown_of_proto(proto):
    for field, value in proto.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if field.is_repeated else [value]:
                if hasattr(one, "ListFields"):
                    yield from _markdown_of_proto(one)
        elif field.name in _MARKDOWN and isinstance(value, str):
            yield value


@pytest.mark.parametrize("key", ["image", "script", "formula"])
@pytest.mark.parametrize("tab", TABS)
def test_a_hostile_name_is_text_on_every_section(shop, key, tab):
    app = shop.run(key, run_tab=tab)
    assert not app.exception
    for name in HOSTILE:
        assert name not in markdown_of(app)
    assert app.title[0].value.replace("\\", "").replace("\u2060", "") in HOSTILE


def test_a_hostile_name_is_text_on_the_board_and_in_notices(shop):
    app = shop.leaderboard(lb_subset=HOSTILE[1], **{HOSTILE[0]: "x"})
    assert not app.exception
    for name in HOSTILE:
        assert name not in markdown_of(app)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """The path of a stranger's store, in which everything that has a name is called what Markdown
    and HTML would obey, and the ids of two runs of it."""
    path = tmp_path_factory.mktemp("strange") / "drf.db"
    db, ids = open_store(path), {}
    one, other, formula = HOSTILE
    groups = {one if name == "nose_bridge" else name: of for name, of in IBUG68.groups.items()}
    assert one in groups
    markup = replace(IBUG68, name=other, groups=groups, subsets={formula: ("jaw",)})
    for number, (family, value, name) in enumerate(
        (("hourglass", other, one), ("hourglass", formula, other), ("external", one, formula))
    ):
        new = replace(
            HOURGLASS, name=name, family=family, preset=None, dataset=other, markup=markup,
            config={one: value}, sources={one: "--set"}, params=0 if number == 2 else 1000 + number,
        )  # fmt: skip
        ids[number] = start_run(db, new)
        for metric in (one, other, formula, "loss", "val_nme_ocular"):
            record_epoch(db, ids[number], 1, {metric: 0.5})
        made = replace(
            evaluation("common", 0.04 + number / 100, number), dataset=other, subset=formula,
            markup=markup,
        )  # fmt: skip
        record_evaluation(db, ids[number], made, faces("common")[2])
        end_run(
            db, ids[number], "finished", reason=None, wall_s=60.0 + 60 * number, faces_per_s=4.0,
            kept_epoch=1, kept_val_nme=0.04,
        )  # fmt: skip
        add_tags(db, ids[number], ["tag"])
        write_note(db, ids[number], other, one)
    with writing(db):
        db.execute("UPDATE tags SET tag = ?", [one])
        learned = joined_trained_on([other, formula])
        db.execute("UPDATE runs SET trained_on = ? WHERE id = ?", [learned, ids[1]])
    add_view(db, "mine", "/?norm=Pupil", title=one, author=other, note=formula)
    start_run(db, replace(HOURGLASS, name=other, preset=one, dataset=other))
    db.close()
    return path, ids


PAGES = {
    "board": (None, {"lb_published": "true", "view": "mine"}),
    "board, since": (None, {"since": "1", "lb_rows": "Runs", "rev": "1"}),
    "images": ("views/images.py", {"img_sort": "Doubtful label"}),
    "compare": ("views/compare.py", {"cmp_curve": HOSTILE[0], "cmp_all": "true"}),
    "ablations": ("views/ablations.py", {}),
    "live": ("views/live.py", {}),
    "about": ("views/about.py", {}),
    **{f"run, {tab}": ("views/run.py", {"run_tab": tab}) for tab in (*TABS[:3], "Slices", TABS[5])},
}


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_a_strangers_store_is_text_on_every_page(strange, monkeypatch, page):
    path, ids = strange
    monkeypatch.setenv("DRF_DB", str(path))
    script, query = PAGES[page]
    if script == "views/run.py":
        query = query | {"run": ids[1][:8]}
    if script == "views/compare.py":
        query = query | {"cmp_runs": ",".join(run[:8] for run in ids.values())}
    app = opened(script, **query)
    assert not app.exception
    assert not app.error
    shown = markdown_of(app)
    for name in HOSTILE:
        assert name not in shown
    for chart in app.get("plotly_chart"):  # Plotly obeys a little HTML, links among it
        figure = json.loads(chart.proto.spec)
        assert HOSTILE[0] not in json.dumps(figure["layout"], ensure_ascii=False)
        for trace in figure["data"]:
            said = [trace.get("name"), trace.get("text"), trace.get("x"), trace.get("y")]
            assert HOSTILE[0] not in json.dumps(said, ensure_ascii=False)


def test_the_remarks_that_name_runs_are_text_on_the_pages_that_show_them(strange, monkeypatch):
    path, ids = strange
    monkeypatch.setenv("DRF_DB", str(path))
    runs = ",".join(run[:8] for run in ids.values())
    imported = f"External methods are predictions that were imported: {HOSTILE[2]}."
    learned = f"Not all started from random weights: {HOSTILE[1]} from weights of {HOSTILE[2]}."
    board = opened(lb_rows="Runs")
    compared = opened("views/compare.py", cmp_runs=runs)
    ablation = opened("views/ablations.py")
    for app, remark in ((board, imported), (compared, imported), (ablation, learned)):
        assert plain(remark) in markdown_of(app)


def test_few_places_ask_for_html():
    asking = set()
    for file in APP.parent.rglob("*.py"):
        source = file.read_text()
        assert "unsafe_allow_html" not in source
        if "st.html" in source:
            asking.add(str(file.relative_to(APP.parent)))
    # These write marks and styles of their own; what comes from a store is escaped there.
    assert asking == {
        *("faces/dialog.py", "faces/tiles.py", "ui/frame.py", "views/leaderboard.py"),
    }


def test_looking_at_everything_changes_nothing(shop):
    def contents():
        return {path.name: path.read_bytes() for path in [shop.path]}

    before = contents()
    opened(lb_text="a")
    for tab in TABS:
        shop.run("forest", run_tab=tab)
    assert contents() == before


def broken(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("not a database, " * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "foreign":
        con = sqlite3.connect(path)
        con.execute("CREATE TABLE songs (title TEXT)")
        con.close()
    elif kind == "older":
        older_store(path)
    elif kind == "newer":
        db = open_store(path)
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('drf', 'm999', '')"
        )
        db.close()


@pytest.mark.parametrize(
    ("page", "module", "name"),
    [
        (None, store, "boards"),
        (None, leaderboard_rows, "arrange"),  # in a part of the page that runs alone
        ("views/images.py", figure, "draw"),  # in a dialog
    ],
)
def test_a_fault_is_a_sentence_and_a_reference_to_the_log(
    shop, monkeypatch, caplog, page, module, name
):
    def broken(*_: object, **__: object) -> None:
        raise ValueError("/srv/secret")

    monkeypatch.setattr(module, name, broken)
    monkeypatch.setattr(error_pages, "show_unexpected", SHOW_UNEXPECTED)
    app = opened(page, img_face="common/00000")
    assert not app.exception
    (sentence,) = (element.value for element in app.error)
    (logged,) = (record for record in caplog.records if record.name == "drf.webapp")
    assert sentence.endswith(f"{logged.getMessage()}.")
    assert logged.exc_info is not None
    for word in ("secret", "ValueError", "Traceback", str(APP.parent), streamlit.__version__):
        assert word not in texts(app)


@pytest.mark.parametrize("page", [None, "views/run.py", "views/about.py"])
@pytest.mark.parametrize("kind", ["missing", "text", "folder", "foreign", "older", "newer"])
def test_a_store_that_cannot_be_shown_is_one_sentence(tmp_path, monkeypatch, kind, page):
    path = tmp_path / "odd.db"
    broken(path, kind)
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened(page)
    assert not app.exception
    assert not app.dataframe
    (sentence,) = (element.value for element in [*app.info, *app.error])
    assert "odd\\.db" in sentence
    assert str(tmp_path) not in texts(app).replace("\\", "")
    if kind == "missing":
        assert "make demo" in [code.value for code in app.code]
    if kind == "older":
        assert "drf db migrate" in sentence


def test_a_store_without_runs_says_how_to_make_one(tmp_path, monkeypatch):
    open_store(tmp_path / "empty.db").close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "empty.db"))
    commands = {None: "drf train\ndrf eval cascade-forest", "views/run.py": "drf train"}
    for page, command in commands.items():
        app = opened(page)
        assert not app.exception
        assert command in [code.value for code in app.code]


def test_a_store_with_runs_but_no_evaluation_says_how_to_get_one(tmp_path, monkeypatch):
    store = open_store(tmp_path / "young.db")
    add_run(store, HOURGLASS, None)
    store.close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "young.db"))
    assert "drf eval RUN" in [code.value for code in opened().code]


def test_a_page_follows_a_run_that_trains(tmp_path, monkeypatch):
    path = tmp_path / "live.db"
    store = open_store(path)
    run = add_run(store, HOURGLASS, None, state="running")
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened("views/run.py", run=run[:8], run_tab="Training")
    assert "running]" in texts(app)
    record_epoch(store, run, 41, {"late_arrival": 1.0})
    app.run()
    assert "Late arrival" in [element.value for element in app.subheader]
    store.close()


def test_the_server_is_set_for_sharing():
    settings = tomllib.loads((APP.parent / ".streamlit/config.toml").read_text())
    server, client = settings["server"], settings["client"]
    assert server["headless"]
    assert server["enableCORS"]
    assert server["enableXsrfProtection"]
    assert server["maxUploadSize"] == photo.MOST_MEGABYTES
    assert "localhost" in server["allowedHosts"]
    assert client == {"toolbarMode": "viewer", "showErrorDetails": "none", "showErrorLinks": False}
    assert settings["browser"]["gatherUsageStats"] is False


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_matrices_are_multiplied_on_one_thread_and_the_one_that_sends_has_its_turn_soon(shop):
    # Of a thread that has ended: the library lets the first one alone decide while it lives.
    several = threading.Thread(target=threadpool_limits, args=(2, "blas"))
    several.start()
    several.join()
    assert blas_threads() == {2}
    before = sys.getswitchinterval()
    st.cache_resource.clear()  # what the process does once is done again
    try:
        shop.leaderboard()
        assert blas_threads() == {1}
        assert sys.getswitchinterval() < 0.002
    finally:
        sys.setswitchinterval(before)


def test_a_control_whose_value_is_from_the_link_is_no_warning_in_the_log():
    """Streamlit warns of widgets that have a default and a value of their own, as all have here."""
    settings = tomllib.loads((APP.parent / ".streamlit/config.toml").read_text())
    assert settings["global"]["disableWidgetStateDuplicationWarning"] is True


def test_every_setting_is_one_that_streamlit_knows():
    def flat(table, prefix=""):
        for key, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    settings = tomllib.loads((APP.parent / ".streamlit/config.toml").read_text())
    assert set(flat(settings)) <= set(streamlit.config.get_config_options())
