"""Content of the live page: runs grouped by status, their progress and estimated end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pandas.io.formats.style import Styler

from db.recording import sweeps
from db.status import was_resumed
from webapp.ui import badges, theme
from webapp.ui.charts import Chart, log_axis, spans_decades
from webapp.ui.text import duration, format_time

WINDOWS = {"1 hour": 1, "6 hours": 6, "24 hours": 24, "7 days": 24 * 7, "30 days": 24 * 30}
"""Name in the URL -> hours before now in which a run counts as recent."""

HEIGHT_PX = 240


@dataclass(frozen=True)
class RunGroups:
    """Rows of `reads.runs` by status.

    running  by start, newest first, so that cards keep their place
    silent   stale or crashed, with a heartbeat within the window, the latest first
    ended    within the window, the latest first
    hidden   number of stale or crashed runs whose last heartbeat is before the window
    """

    running: pd.DataFrame
    silent: pd.DataFrame
    ended: pd.DataFrame
    hidden: int


def group_runs(runs: pd.DataFrame, now: datetime, window: timedelta) -> RunGroups:
    """Group runs by status; of those not running only the ones within the window."""
    heard = pd.to_datetime(runs["heartbeat_at"], utc=True, format="ISO8601")
    runs = runs.assign(heard=heard).sort_values("heard", ascending=False)
    recent = now - runs["heard"] <= window
    silent = runs["status"].isin(("stale", "crashed"))
    running = runs["status"] == "running"
    return RunGroups(
        runs[running].sort_values(["started_at", "id"], ascending=False),
        runs[silent & recent],
        runs[recent & ~silent & ~running],
        int((silent & ~recent).sum()),
    )


def sweep_in_words(jobs: pd.DataFrame) -> str:
    """Return how far a sweep is: "5 of 24 jobs done, 2 running, 17 missing; 12 min 3 s left."

    jobs: of `db.recording.sweeps.jobs`
    """
    left = sweeps.left(jobs)
    counts = left["condition"].value_counts()
    said = [f"{len(jobs) - len(left)} of {len(jobs)} jobs done"]
    said += [f"{n} {condition}" for condition, n in counts.items()]
    seconds = sweeps.seconds_left(jobs)
    return ", ".join(said) + (f"; {duration(seconds)} left." if seconds else ".")


@dataclass(frozen=True)
class ProgressSample:
    """Progress of a run (0..1) at a time; two of them give the pace."""

    at: datetime
    progress: float


def progress_sample(run: dict[str, Any]) -> ProgressSample:
    """Return the progress of a run at its last heartbeat."""
    return ProgressSample(datetime.fromisoformat(run["heartbeat_at"]), float(run["progress"]))


def start_of_progress(run: dict[str, Any]) -> ProgressSample | None:
    """Return the start of a run with progress 0; None for a resumed run, since its pause would
    distort the pace."""
    if was_resumed(run):
        return None
    return ProgressSample(datetime.fromisoformat(run["started_at"]), 0.0)


def estimated_end(since: ProgressSample, last: ProgressSample) -> datetime | None:
    """Return when a run ends at the pace between two samples; None without progress.

    t_end = t + (1 - p) (t - t_0) / (p - p_0)
    """
    done = last.progress - since.progress
    if done <= 0:
        return None
    return last.at + (last.at - since.at) * ((1 - last.progress) / done)


def sentence(run: dict[str, Any], since: ProgressSample | None, now: datetime) -> str:
    """Return progress, epoch, speed and estimated end of a run as one line."""
    epochs = "" if pd.isna(run["epochs"]) else f" of {int(run['epochs'])}"
    parts = [f"{100 * run['progress']:.0f} % done", f"epoch {int(run['epoch'])}{epochs}"]
    if not pd.isna(run["faces_per_s"]):
        parts.append(f"{run['faces_per_s']:.0f} faces/s")
    if run["status"] != "running":
        parts.append(f"last heartbeat {format_time(run['heartbeat_at'])}")
    elif run["progress"] >= 1:
        parts.append("finishing")
    elif since is None or (over := estimated_end(since, progress_sample(run))) is None:
        parts.append("end time not known yet")
    else:
        left = max((over - now).total_seconds(), 0.0)
        parts.append(f"ends in about {duration(left)}, at {over.astimezone(UTC):%H:%M} UTC")
    return " · ".join(parts)


def earlier(
    run: Mapping[str, Any], runs: pd.DataFrame, methods: pd.Series
) -> dict[Any, Any] | None:
    """Return the newest run of the same method that started before a run; None without one.

    runs: `reads.runs`, newest first; methods: run -> method
    """
    if run["id"] not in methods.index:
        return None
    same = methods.reindex(runs["id"]).to_numpy() == methods[run["id"]]
    before = runs[same & (runs["started_at"] < run["started_at"]).to_numpy()]
    return None if before.empty else before.iloc[0].to_dict()


def compared(frame: pd.DataFrame, other: pd.DataFrame, metric: str) -> str | None:
    """Return in a sentence a metric of a run and that of another run in the last epoch in which
    both have a value; None where there is no such epoch."""
    mine, theirs = _values(frame, metric), _values(other, metric)
    common = mine.index.intersection(theirs.index)
    if not len(common):
        return None
    epoch = int(common[-1])
    factor, unit = (100, " %") if "nme" in metric else (1, "")
    here, there = (f"{factor * values[epoch]:.4g}{unit}" for values in (mine, theirs))
    return f"{here} in epoch {epoch}; the run before it had {there} in the same epoch."


def _values(frame: pd.DataFrame, metric: str) -> pd.Series:
    rows = frame[(frame["metric"] == metric) & frame["value"].notna()].sort_values("epoch")
    return rows.set_index("epoch")["value"]


def curve(
    frame: pd.DataFrame, metric: str, title: str, other: pd.DataFrame | None = None
) -> Chart | None:
    """Return one metric of a run against the epoch, None where it has no value yet.

    frame: (epoch, metric, value); other: that of a run to compare with, dotted. NMEs are shown in
    percent.
    """
    rows = _values(frame, metric).reset_index()
    if rows.empty:
        return None
    unit, factor = (", %", 100) if "nme" in metric else ("", 1)
    values = rows["value"] * factor
    figure = go.Figure(
        go.Scatter(
            x=rows["epoch"],
            y=values,
            mode="lines+markers" if len(rows) <= 30 else "lines",
            line={"color": theme.BLUE, "width": 2},
            marker={"size": 6},
            hovertemplate="%{y:.4g}<extra></extra>",
        ),
        theme.layout(x="epoch", y=title + unit, height=HEIGHT_PX),
    )
    if other is not None and len(beside := _values(other, metric) * factor):
        figure.add_scatter(
            x=beside.index,
            y=beside,
            mode="lines",
            line={"color": theme.QUIET, "width": 2, "dash": "dot"},
            hovertemplate="%{y:.4g} in the run before<extra></extra>",
        )
        figure.update_layout(showlegend=False)
    if spans_decades(values):
        log_axis(figure, values)
    if rows["epoch"].max() <= 10:
        figure.update_xaxes(dtick=1)
    now, best = values.iloc[-1], values.min()
    alt = f"{title}{unit} against the epoch: now {now:.4g}, lowest {best:.4g}."
    return Chart(title, figure, alt)


def table(ended: pd.DataFrame) -> pd.DataFrame:
    """Return the table of runs that ended: status, time, best score, reason."""
    return pd.DataFrame(
        {
            "name": ended["name"],
            "status": ended["condition"].map(badges.label),
            "ended": ended["heartbeat_at"].map(format_time),
            "best": 100 * ended["kept_val_nme"],
            "epoch": ended["epoch"],
            "took": [duration(seconds) for seconds in ended["wall_s"]],
            "reason": ended["reason"],
            "id": ended["id"].str[:8],
        }
    )


def styled(shown: pd.DataFrame) -> Styler:
    """Return the table with failed statuses in colour."""
    styler = shown.style.format("{:.2f}", subset=["best"], na_rep="–")
    wrong = [badges.label(one) for one, how in badges.STATUS_STYLES.items() if how.colour == "red"]
    cells = pd.IndexSlice[shown.index[shown["status"].isin(wrong)], ["name", "status"]]
    return styler.map(lambda _: f"color: {theme.VERMILLION}", subset=cells)
