"""Run: scores, faces, curves, forest diagnostics and configuration of one run."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from db import next_step, reads
from drf.scoring import scores
from webapp import store
from webapp.faces import calibration, dialog, ellipses, landmark_errors, slices, tiles
from webapp.faces.dialog import FaceDialogState
from webapp.links import address, share, url_keys, widgets
from webapp.run import configuration, diagnostics, epoch_faces, facts, header, leaves
from webapp.scores import norms_of
from webapp.selection import SelectedRun
from webapp.store import StoreVersion
from webapp.ui import charts, deferred, error_pages, theme
from webapp.ui.charts import Chart
from webapp.ui.text import percent, plain

_REFRESH_S = 5


def page(current: StoreVersion) -> None:
    runs = store.runs(current)
    if runs.empty:
        st.title("Run")
        st.info("No run has been started yet.", icon=":material/hourglass_empty:")
        st.code("drf train", language="bash")
        return
    with st.container(horizontal=True, gap="small"):
        with st.container(width=380):
            run_id = header.choose(current, runs)
        if run_id is None:
            return
        with st.container(width=280):
            evaluations, evaluation = header.choose_evaluation(current, run_id)
        titles = norms_of([store.markup(current.path, store.run(current, run_id)["markup"])])
        title = widgets.segmented_control(url_keys.NORM, "Normalised by", list(titles))
    if evaluation is not None:
        board = {column: evaluation[column] for column in reads.BOARD}
        share.show_revision_notice(current, board, [run_id])
    run = store.run(current, run_id)
    link = header.title(current, run)
    header.method(run)
    norm = titles[title]
    if evaluation is not None:
        header.score_cards(current, evaluation, norm)
    header.facts(current, run)
    _sections(current, run, evaluations, evaluation, norm)
    with link:
        share.link(url_keys.RUN, current)


def _sections(
    current: StoreVersion,
    run: dict[str, Any],
    evaluations: pd.DataFrame,
    evaluation: pd.Series | None,
    norm: str,
) -> None:
    """Fill the chosen section only: the others cost nothing until they are looked at."""
    sections: dict[str, Callable[[], None]] = {
        "Results": lambda: _results(current, run, evaluations, evaluation, norm),
        "Faces": lambda: _faces(current, run, evaluation, norm),
        "Slices": lambda: _slices(current, run, evaluation, norm),
        "Training": lambda: _training_now(current, run, norm),
    }
    if diagnostics.of_forest(store.curves(current, run["id"])):
        sections["Forest"] = lambda: _forest(current, run)
    if store.leaves(current, run["id"])[0]:
        sections["Leaves"] = lambda: leaves.show(current, run)
    sections["Configuration"] = lambda: _configuration(run)
    first = "Training" if run["status"] == "running" else None
    tabs = widgets.tabs(url_keys.RUN_TAB, "Section", list(sections), first)
    for tab, fill in zip(tabs, sections.values(), strict=True):
        if tab.open:
            with tab:
                fill()


def _results(
    current: StoreVersion,
    run: dict[str, Any],
    evaluations: pd.DataFrame,
    evaluation: pd.Series | None,
    norm: str,
) -> None:
    if evaluation is None:
        _not_evaluated(current, run)
        return
    number = int(evaluation["evaluation"])
    errors = store.image_errors(current, run["id"], number)[norm].dropna().to_numpy()
    if not len(errors):
        st.info(f"No face of this evaluation has the {norm} distance.", icon=":material/rule:")
        return
    _charts(_of_errors(current, run, evaluation, errors, norm), "errors")
    st.subheader("Evaluations")
    st.caption(f"Newest first, all scores in %. Errors are divided by the {norm} distance.")
    _evaluations(evaluations, norm)


def _of_errors(
    current: StoreVersion,
    run: dict[str, Any],
    evaluation: pd.Series,
    errors: np.ndarray,
    norm: str,
) -> Iterator[Chart]:
    """Yield the charts of one evaluation, each as it is made: the browser draws it meanwhile."""
    yield charts.ced(errors, norm)
    yield charts.histogram(errors, norm)
    of = current.path, run["id"], int(evaluation["evaluation"])
    over = evaluation["markup"], evaluation["landmarks"]
    parts = landmark_errors.of_evaluation(*of, *over, norm)
    yield landmark_errors.by_landmark(parts, norm)
    yield landmark_errors.by_region(parts, norm)
    if expected := calibration.of_evaluation(*of, *over, norm):
        yield calibration.chart([(run["name"], expected)], norm, [0])
    if hold := store.ellipses(*of, *over):
        yield ellipses.chart(hold, norm)


def _not_evaluated(current: StoreVersion, run: dict[str, Any]) -> None:
    st.info("This run has not been evaluated.", icon=":material/hourglass_empty:")
    header.show_step(next_step.evaluation(run, Path(current.path)))


def _evaluations(evaluations: pd.DataFrame, norm: str) -> None:
    columns = {scores.column(norm, score.key): score for score in scores.SCORES}
    order = ["dataset", "subset", "landmarks", "box", "n", *columns, "created_at", "throughput"]
    speeds = [facts.throughput(row) for row in evaluations.to_dict("records")]
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        evaluations.assign(throughput=speeds),
        hide_index=True,
        height="content",
        column_order=order,
        column_config={
            "dataset": text("Dataset"),
            "subset": text("Subset"),
            "landmarks": text("Landmarks"),
            "box": text("Box"),
            "n": number("Faces"),
            "throughput": text(
                facts.THROUGHPUT,
                help="Of the model alone, in batches; other programs of the machine slow it down.",
            ),
            "created_at": st.column_config.DatetimeColumn("Evaluated", format="YYYY-MM-DD HH:mm"),
            **{
                column: number(score.heading, format="%.2f", help=score.meaning)
                for column, score in columns.items()
            },
        },
        alt="Every evaluation of this run, newest first, scores in percent",
    )


def _faces(
    current: StoreVersion, run: dict[str, Any], evaluation: pd.Series | None, norm: str
) -> None:
    if evaluation is None:
        _not_evaluated(current, run)
        return
    segments = widgets.toggle(url_keys.RUN_SEGMENTS, "Show the error of each landmark")
    number = int(evaluation["evaluation"])
    errors = store.image_errors(current, run["id"], number).dropna(subset=[norm])
    hidden = store.visibilities(current.path, errors["face"].to_numpy()) is not None
    tiles.legend(segments, hidden=hidden)
    ordered = errors.sort_values([norm, "name"], ascending=[False, True])
    state = FaceDialogState(
        current,
        url_keys.RUN,
        list(ordered["name"]),
        "by error",
        dict(zip(errors["name"], errors["face"].tolist(), strict=True)),
        [SelectedRun(run["id"], number, bool(evaluation["flip_test"]), run["name"], run["name"])],
        norm,
    )
    by_name = dict(zip(errors["name"], errors[norm], strict=True))
    opened = False
    for kind, rows in tiles.extremes(errors, norm).items():
        if len(rows):
            st.subheader(f"{kind} {len(rows)} of {len(errors)}")
            opened |= tiles.grid(
                state,
                list(rows["name"]),
                lambda name: percent(100 * by_name[name]),
                {name: np.array([by_name[name]]) for name in rows["name"]},
                kind=kind,
                error_segments=segments,
            )
    if not opened:
        dialog.show_wanted(state)


def _slices(
    current: StoreVersion, run: dict[str, Any], evaluation: pd.Series | None, norm: str
) -> None:
    if evaluation is None:
        _not_evaluated(current, run)
        return
    key = run["id"], int(evaluation["evaluation"])
    slices.show(current, url_keys.RUN_SLICE, [key], [run["name"]], evaluation["markup"], norm)


def _training_now(current: StoreVersion, run: dict[str, Any], norm: str) -> None:
    """Show the training; of a running run every few seconds as it then is."""

    @st.fragment
    def going_on() -> None:
        with address.one_entry(), error_pages.boundary():
            now = store.current()
            latest = store.run(now, run["id"])
            if latest["status"] != run["status"]:
                st.rerun()
            _training(now, latest, norm)
        deferred.again("run_training", _REFRESH_S)

    if run["status"] == "running":
        going_on()
    else:
        _training(current, run, norm)


def _training(current: StoreVersion, run: dict[str, Any], norm: str) -> None:
    frame = store.curves(current, run["id"])
    if frame.empty:
        st.info(
            "No epoch was recorded. Models without epochs, such as the mean shape, have no curves."
        )
        return
    best = _kept_epoch(run)
    ratio = [] if diagnostics.of_forest(frame) else diagnostics.std_ratio(frame, best)
    _charts([*charts.curves(diagnostics.other_curves(frame), best), *ratio])
    epoch_faces.show(current, run, norm)


def _forest(current: StoreVersion, run: dict[str, Any]) -> None:
    _charts(diagnostics.charts(store.curves(current, run["id"]), _kept_epoch(run)))


def _configuration(run: dict[str, Any]) -> None:
    configuration.command(run)
    configuration.configuration(run)
    configuration.provenance(run)


def _kept_epoch(run: dict[str, Any]) -> int | None:
    return None if pd.isna(run["kept_epoch"]) else int(run["kept_epoch"])


def _charts(shown: Iterable[Chart], kind: str = "curve") -> None:
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        for chart in shown:
            with grid.cell():
                st.subheader(plain(chart.title))
                if chart.help:
                    st.caption(plain(chart.help))
                st.plotly_chart(
                    chart.figure,
                    key=f"{kind}-{chart.title}",
                    config=theme.CHART_CONFIG,
                    alt=chart.alt,
                )


page(st.session_state["store"])
