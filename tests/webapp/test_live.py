"""Runs under way: how they are sorted, when they end, and what the page says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from db.connection import open_store
from db.recording import sweeps
from db.recording.runs import record_epoch, record_heartbeat, start_run
from tests.db import examples
from tests.webapp.conftest import opened, texts
from tests.webapp.examples import HOSTILE, HOURGLASS, add_run
from webapp import live
from webapp.live import ProgressSample

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def run(**changes):
    values = {
        "id": "0" * 32,
        "status": "running",
        "started_at": "2026-11-24T11:30:00.000Z",
        "heartbeat_at": "2026-11-24T11:50:00.000Z",
        "process_started": datetime(2026, 11, 24, 11, 29, tzinfo=UTC).timestamp(),
        "progress": 0.25,
        "epoch": 10,
        "epochs": 40,
        "faces_per_s": 205.4,
    }
    return values | changes


def test_the_estimated_end_follows_from_the_pace():
    """A quarter in 20 minutes: the other three quarters take an hour from the last heartbeat."""
    since = live.start_of_progress(run())
    assert since == ProgressSample(datetime(2026, 11, 24, 11, 30, tzinfo=UTC), 0.0)
    assert live.estimated_end(since, live.progress_sample(run())) == datetime(
        2026, 11, 24, 12, 50, tzinfo=UTC
    )
    said = live.sentence(run(), since, NOW)
    assert said == (
        "25 % done · epoch 10 of 40 · 205 faces/s · ends in about 50 min 0 s, at 12:50 UTC"
    )


def test_a_resumed_run_is_timed_from_when_it_was_first_seen_again():
    resumed = run(process_started=datetime(2026, 11, 24, 11, 45, tzinfo=UTC).timestamp())
    assert live.start_of_progress(resumed) is None
    first = live.progress_sample(resumed)
    assert "end time not known yet" in live.sentence(resumed, first, NOW)
    later = resumed | {"heartbeat_at": "2026-11-24T11:55:00.000Z", "progress": 0.5}
    assert live.estimated_end(first, live.progress_sample(later)) == datetime(
        2026, 11, 24, 12, 5, tzinfo=UTC
    )


def test_a_run_that_has_not_begun_to_move_has_no_end_yet():
    assert "end time not known yet" in live.sentence(
        run(progress=0.0), live.start_of_progress(run()), NOW
    )


def test_a_silent_run_says_when_it_was_last_heard_of_and_promises_no_end():
    said = live.sentence(run(status="stale", epochs=None), live.start_of_progress(run()), NOW)
    assert said.endswith("epoch 10 · 205 faces/s · last heartbeat 2026-11-24 11:50 UTC")


def test_runs_are_sorted_by_how_they_stand_and_when_they_were_heard_of():
    rows = [
        run(id="running long ago", heartbeat_at="2026-11-01T00:00:00.000Z"),
        run(id="stale", status="stale"),
        run(id="crashed", status="crashed", heartbeat_at="2026-11-24T11:59:00.000Z"),
        run(id="old stale", status="stale", heartbeat_at="2026-01-01T00:00:00.000Z"),
        run(id="finished", status="finished"),
        run(id="old finished", status="finished", heartbeat_at="2026-11-22T00:00:00.000Z"),
    ]
    shown = live.group_runs(pd.DataFrame(rows), NOW, timedelta(days=1))
    assert list(shown.running["id"]) == ["running long ago"]
    assert list(shown.silent["id"]) == ["crashed", "stale"]
    assert list(shown.ended["id"]) == ["finished"]
    assert shown.hidden == 1


def test_a_curve_is_in_percent_and_absent_before_its_first_value():
    frame = pd.DataFrame(
        {"epoch": [1, 2], "metric": "val_nme_ocular", "value": [float("nan"), 0.05]}
    )
    chart = live.curve(frame, "val_nme_ocular", "Validation NME")
    assert list(chart.figure.data[0].y) == pytest.approx([5.0])
    assert "now 5" in chart.alt
    assert live.curve(frame.iloc[:1], "val_nme_ocular", "Validation NME") is None
    assert live.curve(frame, "loss", "Training loss") is None


def epochs(*values):
    return pd.DataFrame(
        {"epoch": range(1, len(values) + 1), "metric": "val_nme_ocular", "value": values}
    )


def test_a_run_is_compared_with_the_one_of_its_method_before_it_in_the_same_epoch():
    started = [f"2026-11-24T1{hour}:00:00.000Z" for hour in (3, 2, 1, 0)]
    runs = pd.DataFrame({"id": ["now", "other", "before", "first"], "started_at": started})
    methods = pd.Series({"now": "a", "other": "b", "before": "a", "first": "a"})
    assert live.earlier(runs.iloc[0], runs, methods)["id"] == "before"
    assert live.earlier(runs.iloc[1], runs, methods) is None
    said = live.compared(epochs(0.08, 0.05), epochs(0.09, 0.06, 0.04), "val_nme_ocular")
    assert said == "5 % in epoch 2; the run before it had 6 % in the same epoch."
    chart = live.curve(epochs(0.08), "val_nme_ocular", "Validation NME", epochs(0.09, 0.06))
    assert list(chart.figure.data[1].y) == pytest.approx([9.0, 6.0])


def progress_bars(app):
    return {bar.proto.text: bar.proto.value for bar in app.get("progress")}


@pytest.fixture
def heard(shop):
    """The example store, made minutes ago perhaps, whose running run is heard of again."""
    store = open_store(shop.path)
    record_heartbeat(store, shop.ids["untested"], epoch=0, progress=0.0, faces_per_s=1.0)
    store.close()


def test_the_page_shows_running_silent_and_ended_runs(heard):
    app = opened("views/live.py", live_window="30 days")
    assert not app.exception
    said = texts(app)
    assert "Running: 1" in said  # untested: this process
    assert "Not responding or crashed: 1" in said  # the other machine's spoke last in January
    assert "The process is gone: killed or out of memory." in said
    assert "and 1 more; 1 of them without a heartbeat in the last 30 days" in said
    (table,) = app.dataframe
    assert set(table.value["status"]) == {
        *("✓ finished", "■ interrupted", "✗ failed", "↯ collapsed")
    }
    assert sorted(progress_bars(app).values()) == [0, 30]
    code = [block.value for block in app.code]
    assert any(line.startswith("drf train") for line in code)  # how the crashed one goes on


def test_a_crashed_run_keeps_no_room_for_what_will_not_come(tmp_path, monkeypatch):
    store = open_store(tmp_path / "drf.db")
    for epochs in (0, 2, 3):
        run = start_run(store, examples.new_run(name=f"after {epochs} epochs"))
        for epoch in range(1, epochs + 1):
            record_epoch(store, run, epoch, {"loss": 1 / epoch, "val_nme_ocular": 0.1 / epoch})
            record_heartbeat(store, run, epoch=epoch, progress=epoch / 9, faces_per_s=1.0)
    store.execute("UPDATE runs SET pid = 2000000000")  # no process has this number
    store.close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    app = opened("views/live.py")
    assert not app.exception
    said = texts(app)
    assert "Not responding or crashed: 3" in said
    assert said.count("It recorded no value of these curves.") == 1
    assert len(app.get("plotly_chart")) == 4
    assert "no value yet" not in said


def test_hostile_names_are_text_on_the_live_page(heard):
    app = opened("views/live.py", live_window=HOSTILE[1])
    assert not app.exception
    labels = [link.proto.label for link in app.get("page_link")]
    bars = [bar.proto.text for bar in app.get("progress")]
    for name in HOSTILE:
        assert name not in "\n".join([texts(app), *labels, *bars])
    assert "which does not exist here" in app.warning[-1].value


def test_the_page_follows_a_run_that_trains(tmp_path, monkeypatch):
    path = tmp_path / "live.db"
    store = open_store(path)
    training = add_run(store, HOURGLASS, None, state="running")
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened("views/live.py")
    store.execute("DELETE FROM epochs WHERE epoch >= 20")
    record_heartbeat(store, training, epoch=20, progress=0.5, faces_per_s=300.0)
    app.run()
    ((said, value),) = progress_bars(app).items()
    assert value == 50
    assert "epoch 20 of 40" in said
    store.close()


def test_the_live_page_of_a_young_store_says_how_to_begin(tmp_path, monkeypatch):
    open_store(tmp_path / "empty.db").close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "empty.db"))
    app = opened("views/live.py")
    assert not app.exception
    assert "drf train" in [code.value for code in app.code]


def test_looking_at_live_runs_changes_nothing(shop):
    before = shop.path.read_bytes()
    opened("views/live.py")
    assert shop.path.read_bytes() == before


def test_a_sweep_that_runs_is_shown_as_one_thing(tmp_path, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    store = open_store(tmp_path / "drf.db")
    done = add_run(store, HOURGLASS, 0.05)
    running = start_run(store, HOURGLASS)
    jobs = [done, running, "0" * 32]
    new = [sweeps.NewJob(job, "job", seed, {}) for seed, job in enumerate(jobs)]
    sweeps.record_sweep(store, "a [sweep]", "common", new)
    store.close()
    app = opened("views/live.py")
    assert not app.exception
    (said,) = (one.value for one in app.markdown if "Sweep" in one.value)
    assert "1 of 3 jobs done, 1 running, 1 missing" in said
    assert "ablations?sweep=a+%5Bsweep%5D" in said
