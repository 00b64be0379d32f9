"""Live: running runs with progress, curves and estimated end; runs without a heartbeat; runs that
ended lately."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from db import next_step
from webapp import live, store
from webapp.links import address, navigation, share, url_keys, widgets
from webapp.live import ProgressSample, RunGroups
from webapp.run import header
from webapp.scores import norms_of
from webapp.store import StoreVersion
from webapp.ui import badges, deferred, error_pages, theme
from webapp.ui.charts import Chart
from webapp.ui.text import plain

_EVERY_S = {"2 s": 2, "5 s": 5, "15 s": 15, "30 s": 30, "1 min": 60}
_METRICS = {"Validation NME": "val_nme_{norm}", "Training loss": "loss"}
_CURVES = {"Both": [*_METRICS], **{title: [title] for title in _METRICS}}
_SEEN, _TABLE, _SHOWN = "live_seen", "live_table", "live_shown"
_CARDS = 12


def page(current: StoreVersion) -> None:
    st.title("Live")
    norms = norms_of(store.markups(current))
    with st.container(horizontal=True, gap="small"):
        norm = widgets.segmented_control(url_keys.NORM, "Normalised by", list(norms))
        curve = widgets.segmented_control(url_keys.LIVE_CURVE, "Curve", list(_CURVES))
        window = widgets.select(
            url_keys.LIVE_WINDOW,
            "Time window",
            list(live.WINDOWS),
            "Runs that ended within this time are listed.",
            width=150,
        )
        every = widgets.select(url_keys.LIVE_REFRESH, "Refresh every", list(_EVERY_S), width=150)
    metrics = {title: _METRICS[title].format(norm=norms[norm]) for title in _CURVES[curve]}
    shown = _look(current, window)
    _strip(metrics, window, _standing(shown), _EVERY_S[every])
    _silent(current, shown, window, metrics)
    _ended(shown.ended, window)
    share.link(url_keys.LIVE, current)


def _look(current: StoreVersion, window: str) -> RunGroups:
    hours = timedelta(hours=live.WINDOWS[window])
    return live.group_runs(store.runs(current), datetime.now(UTC), hours)


def _standing(shown: RunGroups) -> frozenset[tuple[str, str]]:
    """Return (id, status) of all runs shown: they decide where on the page a run is."""
    frames = (shown.running, shown.silent, shown.ended)
    return frozenset(
        pair for frame in frames for pair in zip(frame["id"], frame["status"], strict=True)
    )


@st.fragment
def _strip(
    metrics: dict[str, str], window: str, stood: frozenset[tuple[str, str]], every_s: float
) -> None:
    """Show the running runs as they are now. This part reruns by itself, without the page, so it
    reads the store itself. Where a status changed, the whole page reruns."""
    with address.one_entry(), error_pages.boundary():
        current = store.current()
        shown = _look(current, window)
        if _standing(shown) != stood:
            st.rerun()
        now = datetime.now(UTC)
        st.caption(f"As of {now:%H:%M:%S} UTC.")
        _sweeps(current)
        _running(current, shown.running, metrics, now)
    deferred.again("live_strip", every_s)


def _sweeps(current: StoreVersion) -> None:
    """Show each sweep that a process works at as one thing, with the way to its table."""
    for sweep in store.sweeps(current)["name"]:
        jobs = store.jobs_of_sweep(current, sweep)
        if not (jobs["condition"] == "running").any():
            continue
        table = f"{url_keys.ABLATIONS}?{urlencode({url_keys.SWEEP.name: sweep})}"
        st.markdown(f"**Sweep {plain(sweep)}**: {live.sweep_in_words(jobs)} [Its table]({table})")
        st.progress(float(jobs["progress"].mean()))


def _running(
    current: StoreVersion, running: pd.DataFrame, metrics: dict[str, str], now: datetime
) -> None:
    st.subheader(f"Running: {len(running)}")
    if running.empty:
        st.info("No run is training.", icon=":material/hourglass_empty:")
        st.code("drf train", language="bash")
        return

    def card(run: dict[Any, Any]) -> None:
        _head(run, _since(run), now)
        header.show_flags(current, run)
        _curves(current, run, metrics, going_on=True)

    _cards(running.head(_CARDS), card)
    if len(running) > _CARDS:
        st.caption(f"and {len(running) - _CARDS} more, which started earlier.")


def _cards(runs: pd.DataFrame, show: Callable[[dict[Any, Any]], None]) -> None:
    """Show runs in cards, two beside each other; one that is left over has all the width, so that
    there is no empty room beside it."""
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        for place, run in enumerate(runs.to_dict("records")):
            left_over = place % 2 == 0 and place == len(runs) - 1
            cell = grid.cell(column_span="all" if left_over else 1)
            with cell, st.container(border=True, height="stretch"):
                show(run)


def _since(run: dict[Any, Any]) -> ProgressSample | None:
    """Return the sample that the pace is computed from: the run's start or, for a resumed run, the
    first time that this visitor saw it."""
    if begun := live.start_of_progress(run):
        return begun
    seen = st.session_state.setdefault(_SEEN, {})
    return seen.setdefault((run["id"], run["process_started"]), live.progress_sample(run))


def _head(run: dict[Any, Any], since: ProgressSample | None, now: datetime) -> None:
    """Show name, status, progress bar, and a sentence on progress and estimated end."""
    look = badges.STATUS_STYLES[run["status"]]
    tab = {url_keys.RUN_TAB.name: "Training"}
    link = navigation.to(url_keys.RUN, run=run["id"], **tab)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link("views/run.py", label=f"**{plain(run['name'])}**", query_params=link)
        st.badge(run["status"], icon=look.icon, color=look.colour, help=look.meaning)
        st.caption(f"`{run['id'][:8]}` · {plain(run['family'])} · seed {run['seed']}")
    st.progress(float(run["progress"]), text=plain(live.sentence(run, since, now)))


def _curves(
    current: StoreVersion, run: dict[Any, Any], metrics: dict[str, str], *, going_on: bool
) -> None:
    """Show the curves of a run, beside those of the run of the same method before it. going_on:
    whether a curve without a value can still get one; then room is kept for it."""
    frame = store.curves(current, run["id"])
    before = live.earlier(run, store.runs(current), store.method_of_runs(current))
    other = None if before is None else store.curves(current, before["id"])
    curves = {title: live.curve(frame, metric, title, other) for title, metric in metrics.items()}
    drawn = [chart for chart in curves.values() if chart is not None]
    if not going_on and not drawn:
        st.caption("It recorded no value of these curves.")
        return
    wanted = {title: chart for title, chart in curves.items() if going_on or chart is not None}
    with st.grid(len(wanted), min_column_width=220, gap="small") as grid:
        for title, chart in wanted.items():
            with grid.cell():
                _curve(run["id"], chart, title, metrics[title])
    dotted = any(len(chart.figure.data) > 1 for chart in drawn)
    if before is not None and other is not None and dotted:
        title, metric = next(iter(metrics.items()))
        said = live.compared(frame, other, metric)
        known = f"Dotted: {before['name']} ({before['id'][:8]}), before it."
        st.caption(plain(f"{title}: {said} {known}" if said else known))


def _curve(run: str, chart: Chart | None, title: str, metric: str) -> None:
    if chart is None:
        with st.container(height=live.HEIGHT_PX, border=False):
            st.caption(f"{title}: no value yet; the first epoch records one.")
        return
    key, config = f"live-{run}-{metric}", theme.CHART_CONFIG
    st.plotly_chart(chart.figure, key=key, config=config, alt=chart.alt)


def _silent(current: StoreVersion, shown: RunGroups, window: str, metrics: dict[str, str]) -> None:
    if shown.silent.empty and not shown.hidden:
        return
    st.subheader(f"Not responding or crashed: {len(shown.silent)}")

    def card(run: dict[Any, Any]) -> None:
        _head(run, None, datetime.now(UTC))
        look = badges.STATUS_STYLES[run["status"]]
        say: Callable[..., Any] = st.error if look.colour == "red" else st.warning
        say(look.meaning, icon=look.icon)
        if step := next_step.after(store.run(current, run["id"]), Path(current.path)):
            header.show_step(step)
        header.show_flags(current, run)
        _curves(current, run, metrics, going_on=False)

    silent = shown.silent.head(_CARDS)
    has_curves = silent["epoch"] > 0  # the others are lower, and stand beside each other
    for some in (silent[has_curves], silent[~has_curves]):
        if len(some):
            _cards(some, card)
    more = max(len(shown.silent) - _CARDS, 0) + shown.hidden
    if more:
        st.caption(
            f"and {more} more; {shown.hidden} of them without a heartbeat in the last {window}."
        )


def _ended(ended: pd.DataFrame, window: str) -> None:
    st.subheader(f"Recent: {len(ended)}")
    if ended.empty:
        st.caption(f"No run ended in the last {window}.")
        return
    shown = live.table(ended)
    st.session_state[_SHOWN] = list(shown["id"])
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        live.styled(shown),
        hide_index=True,
        height="content" if len(shown) <= 15 else 565,
        column_config={
            "name": text("Run", width="medium"),
            "status": text("Status"),
            "ended": text("Ended"),
            "best": number(
                "Val NME, % (kept epoch)",
                format="%.2f",
                help="Of the epoch whose weights were kept: the best, or the last where"
                " training.checkpoint is last. Under the first normaliser of its markup.",
            ),
            "epoch": number("Epochs", format="%d"),
            "took": text("Training time"),
            "reason": text("Reason", width="large"),
            "id": text("Id", width="small"),
        },
        key=_TABLE,
        on_select=_open_run,
        selection_mode="single-row",
        placeholder="–",
        alt=f"{len(shown)} runs that ended in the last {window}, the latest first",
    )
    st.caption("Select a row to open the run.")


def _open_run() -> None:
    if picked := st.session_state[_TABLE].selection.rows:
        run = st.session_state[_SHOWN][picked[0]]
        st.switch_page("views/run.py", query_params=navigation.to(url_keys.RUN, run=run))


page(st.session_state["store"])
