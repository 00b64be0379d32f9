"""Ablations: the effect of one or two configuration keys, all others being equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st

from db import reads
from db.analysis import ablation, comparability
from db.analysis.factors import Settings, compare, factors, left_out, natural_baseline
from drf.scoring import statistics
from webapp import selection, store
from webapp.ablation import figures, results
from webapp.leaderboard.rows import load_rows, named
from webapp.links import address, navigation, share, url_keys, widgets
from webapp.links.names import matching
from webapp.scores import norms
from webapp.store import StoreVersion
from webapp.ui import theme
from webapp.ui.charts import Chart
from webapp.ui.text import plain

_CHOICE, _TABLE, _SHOWN = "abl_choice", "abl_table", "abl_shown"
_NONE = str(url_keys.ABLATION_BY.default)
_ALL = str(url_keys.SWEEP.default)
_CELLS = ("NME", "Difference")
_TWO_LINES_PX = 54


def page(current: StoreVersion) -> None:
    st.title("Ablations")
    boards = store.boards(current)
    if boards.empty:
        st.info("No run has been evaluated yet.", icon=":material/hourglass_empty:")
        st.code("drf eval RUN", language="bash")
        return
    with st.container(horizontal=True, gap="small"):
        norm = widgets.segmented_control(url_keys.NORM, "Normalised by", list(norms()))
        runs, boards = _choose_sweep(current, boards)
        with st.container(width=240):
            evaluation, board = _choose_evaluation(boards)
        settings = _settings(current, runs, **board)
        if not settings.runs.empty:
            with st.container(width=380):
                base = _choose_baseline(current, settings, board)
    share.show_revision_notice(current, board)
    if settings.runs.empty:
        st.info("No run on this board ran to its end.", icon=":material/hourglass_empty:")
        return
    keys = _choose_factors(settings, base)
    if not keys:
        _no_factor(settings, base)
        share.link(url_keys.ABLATIONS, current)
        return
    rows = ablation.compared(settings, base, keys)
    evaluations = list(zip(rows["run"], rows["evaluation"], strict=True))
    key = norms()[norm]
    paired = store.paired_errors(current, evaluations, key)
    if not len(paired.faces):
        selection.no_shared_face(key)
        return
    frame = ablation.results(settings, base, keys, paired[key])
    _summary(current, rows, frame, len(paired.faces), evaluation)
    _charts(frame, keys, norm)
    _table(frame, keys, norm)
    _left_out(settings, base, keys)
    _footer(current, frame, keys, norm)


def _choose_sweep(
    current: StoreVersion, boards: pd.DataFrame
) -> tuple[tuple[str, ...] | None, pd.DataFrame]:
    """Return the runs of the sweep that was chosen (None: all of the store), and the boards that
    they may be on."""
    known = store.sweeps(current)
    if known.empty and address.get(url_keys.SWEEP.name) is None:
        return None, boards
    names = [_ALL, *known["name"]]
    sweep = widgets.select(
        url_keys.SWEEP, "Sweep", names, "Only runs of this sweep are compared.", width=200
    )
    if sweep == _ALL:
        return None, boards
    subset = known.loc[known["name"] == sweep, "subset"].iloc[0]
    of_subset = boards[boards["subset"] == subset]
    runs = tuple(store.jobs_of_sweep(current, sweep)["job"])
    return runs, boards if of_subset.empty else of_subset


def _choose_evaluation(boards: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """Return the label of the board that was chosen, and what it is: values of `reads.BOARD`."""
    label = widgets.select(
        url_keys.ABLATION_EVALUATION, "Evaluation", list(boards["label"]), "dataset/subset/box"
    )
    row = boards[boards["label"] == label].iloc[0]
    return label, {column: row[column] for column in reads.BOARD}


@st.cache_data(max_entries=8, show_spinner=False)
def _settings(
    current: StoreVersion,
    runs: tuple[str, ...] | None,
    dataset: str,
    subset: str,
    landmarks: str,
    box: str,
) -> Settings:
    rows = store.leaderboard(current, dataset=dataset, subset=subset, landmarks=landmarks, box=box)
    if runs is not None:
        rows = rows[rows["run"].isin(runs)]
    return compare(rows, store.settings_of(current, list(rows["run"])))


def _of_method(
    current: StoreVersion, wanted: str, runs: Iterable[str], board: dict[str, str]
) -> list[str]:
    """Return those of some runs whose method a link names, as the leaderboard does: by its name on
    the board or its id, also that of an earlier version."""
    today = store.method_today(current, wanted.lower()) if wanted else None
    methods = store.method_of_runs(current)
    rows = load_rows(current, as_runs=False, at_revision=None, **board)
    by_name = set(rows.loc[named(rows, wanted), "runs"].sum() or ())
    return [run for run in runs if run in by_name or (today and methods[run] == today)]


def _choose_baseline(current: StoreVersion, settings: Settings, board: dict[str, str]) -> int:
    """Return the setting that the link names by one of its runs, else the natural one.

    As on the run page the chooser writes the link itself: eight characters of an id.
    """
    key = url_keys.ABLATION_BASE.name
    wanted = address.get(key)
    base = natural_baseline(settings)
    if wanted is not None:
        runs = settings.runs.set_index("run")
        meant = matching(wanted, runs["name"].to_dict()) or _of_method(
            current, wanted, runs.index, board
        )
        meant_settings = {int(runs.loc[run, "setting"]) for run in meant}
        if len(meant_settings) == 1:
            (base,) = meant_settings
        else:
            widgets.refuse(
                url_keys.ABLATION_BASE,
                f"This link compares with “{widgets.quoted(wanted)}”, which is not on this board;"
                " another baseline is chosen.",
            )
    first = settings.runs.sort_values("seed").drop_duplicates("setting").set_index("run")
    counts = settings.runs.groupby("setting")["seed"].nunique()
    labels = {
        run: f"{row['name']} · {run[:8]}" + (f" · {n} seeds" if n > 1 else "")
        for run, row in first.sort_values("evaluation", ascending=False).iterrows()
        if (n := counts[row["setting"]])
    }
    st.session_state[_CHOICE] = first.index[first["setting"] == base][0]
    st.session_state[key] = st.session_state[_CHOICE][:8]  # so that the full link spells it out
    st.selectbox(
        "Baseline",
        list(labels),
        format_func=labels.__getitem__,
        key=_CHOICE,
        on_change=_chosen,
        filter_mode="contains",
        help="All other settings are compared with it. Runs that differ only in the seed are one.",
    )
    return base


def _chosen() -> None:
    """Write the baseline into the link, and the factor: that of the new one might be another."""
    factor = url_keys.ABLATION_FACTOR.name
    kept = {factor: [st.session_state[factor]]} if factor in st.session_state else {}
    address.write_all({url_keys.ABLATION_BASE.name: [st.session_state[_CHOICE][:8]], **kept})


def _choose_factors(settings: Settings, base: int) -> list[str]:
    """Return the keys that vary: none where nothing differs from the baseline in one key alone."""
    offered = factors(settings, base)
    if not offered:
        return []
    with st.container(horizontal=True, gap="small"):
        factor = widgets.select(url_keys.ABLATION_FACTOR, "Factor", offered, width=260)
        seconds = [_NONE, *factors(settings, base, given=factor)]
        by = widgets.select(url_keys.ABLATION_BY, "Second factor", seconds, width=260)
    return [factor] if by == _NONE else [factor, by]


def _no_factor(settings: Settings, base: int) -> None:
    if base == natural_baseline(settings):
        said = "No two runs on this board differ in one key of the configuration alone."
    else:
        said = (
            "No other run on this board differs from the baseline in one key of the configuration"
            " alone; another baseline may have more to compare."
        )
    st.info(f"{said} To train one that does:", icon=":material/science:")
    st.code("drf train PRESET --set KEY=VALUE", language="bash")
    _left_out(settings, base, [])


def _summary(
    current: StoreVersion, rows: pd.DataFrame, frame: pd.DataFrame, n_faces: int, evaluation: str
) -> None:
    st.caption(
        f"{len(frame)} settings, {len(rows)} runs, {n_faces} faces of {plain(evaluation)};"
        " all other configuration keys are equal, except the seed."
        + (" So are epochs, steps and faces seen." if comparability.equal_budget(rows) else "")
    )
    for remark in comparability.remarks(rows):
        st.warning(plain(remark), icon=":material/difference:")
    around = store.circumstances(current, list(rows["run"]))
    several = [
        f"{n} {word}"
        for column, word in (("code", "commits of the code"), ("hardware", "kinds of machine"))
        if (n := around[column].nunique()) > 1
    ]
    if several:
        st.caption(f":material/info: These runs come from {' and '.join(several)}.")


def _charts(frame: pd.DataFrame, keys: Sequence[str], norm: str) -> None:
    if len(keys) > 1:
        cell = widgets.segmented_control(url_keys.ABLATION_CELL, "Cells", _CELLS)
        _chart(figures.heat(frame, keys, norm, differences=cell == _CELLS[1]))
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        for make in (figures.nme, figures.difference):
            with grid.cell():
                _chart(make(frame, keys, norm))


def _chart(chart: Chart) -> None:
    st.subheader(plain(chart.title))
    st.caption(plain(chart.help))
    config = theme.CHART_CONFIG
    st.plotly_chart(chart.figure, key=f"ablation-{chart.title}", config=config, alt=chart.alt)


def _table(frame: pd.DataFrame, keys: Sequence[str], norm: str) -> None:
    st.subheader("Difference and cost")
    shown, over = results.table(frame, keys), ablation.over(frame)
    st.session_state[_SHOWN] = [ids.split()[0] for ids in frame["ids"]]
    st.dataframe(
        results.styled(shown),
        hide_index=True,
        height="content" if len(shown) <= 40 else 1440,
        column_config=results.column_config(keys, norm, over),
        key=_TABLE,
        on_select=_open_run,
        selection_mode="single-row",
        placeholder="–",
        alt=f"{len(shown)} settings with NME, difference to the baseline and cost, as in the CSV",
    )
    said = statistics.explanation(over, set(frame["seeds"]))
    st.caption(
        "NME and sd in %, Δ in percentage points. **Bold**: best. Underlined: second. Select a row"
        f" to open its first run. {said}"
    )


def _open_run() -> None:
    if picked := st.session_state[_TABLE].selection.rows:
        run = st.session_state[_SHOWN][picked[0]]
        st.switch_page("views/run.py", query_params=navigation.to(url_keys.RUN, run=run))


def _left_out(settings: Settings, base: int, keys: Sequence[str]) -> None:
    rows = left_out(settings, base, keys)
    if rows.empty:
        return
    one = "1 run is" if len(rows) == 1 else f"{len(rows)} runs are"
    st.subheader("Not comparable with the baseline")
    st.caption(
        f"{one} on this board but not compared. The table lists the differences to the baseline."
    )
    text = st.column_config.TextColumn
    st.dataframe(
        rows.assign(run=rows["run"].str[:8]),
        hide_index=True,
        height="content" if len(rows) <= 8 else 460,
        row_height=_TWO_LINES_PX,
        column_config={
            "name": text("Run", width=220),
            "run": text("Id", width=90),
            "why": text("What differs: baseline → run", width=800),
        },
        alt=f"{len(rows)} runs that are not compared, and what differs",
    )


def _footer(current: StoreVersion, frame: pd.DataFrame, keys: Sequence[str], norm: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV of this view",
            results.csv(frame, keys, norm.lower()),
            file_name=f"drf-ablation-{'-'.join(keys)}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        share.link(url_keys.ABLATIONS, current)


page(st.session_state["store"])
