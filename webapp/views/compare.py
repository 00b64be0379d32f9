"""Compare: two to six runs side by side, with scores, paired intervals, curves, faces, settings."""

import numpy as np
import pandas as pd
import streamlit as st

from db import reads, status
from db.analysis import comparability
from db.analysis.paired import Paired
from webapp import selection, store
from webapp.compare import figures, methods, tables
from webapp.compare.methods import MethodVerdict
from webapp.compare.tables import Comparison
from webapp.faces import calibration, landmark_errors, slices
from webapp.faces.table import IMPROVEMENT
from webapp.links import navigation, share, url_keys, widgets
from webapp.run import method_card, words
from webapp.selection import Board, Choices, SelectedRun
from webapp.store import StoreVersion
from webapp.ui import badges, theme
from webapp.ui.charts import Chart
from webapp.ui.text import plain

AT_MOST = 6
_SCORE_PX = 250
_SCATTER, _SHOWN = "cmp_scatter", "cmp_shown"


def page(current: StoreVersion) -> None:
    choices, link = selection.page_head(
        current,
        "Compare",
        url_keys.COMPARE_EVALUATION,
        url_keys.COMPARE_RUNS,
        width=720,
        at_least=2,
        at_most=AT_MOST,
    )
    if choices is None:
        return
    if len(choices.runs) < 2:
        st.info(f"Choose 2 to {AT_MOST} runs.", icon=":material/checklist:")
        return
    _comparison(current, choices)
    with link:
        share.link(url_keys.COMPARE, current)


def _comparison(current: StoreVersion, choices: Choices) -> None:
    chosen, runs, norm = choices.board, choices.runs, choices.norm
    rows = choices.rows.loc[[run.run for run in runs]]
    paired = store.paired_errors(current, [run.key for run in runs], norm)
    if not len(paired.faces):
        selection.no_shared_face(norm)
        return
    labels = [run.label for run in runs]
    errors = paired[norm]
    sound = tuple(status.ranked(rows).tolist())
    keys = tuple(run.key for run in runs)
    found = _compared(current.path, current.revision, keys, norm, sound)
    over_seeds = methods.verdicts(
        current,
        {column: getattr(chosen, column) for column in reads.BOARD},
        [run.evaluation for run in runs],
        norm,
    )
    _verdicts(found, runs, len(paired.faces), norm)
    words.listed(current, {run.run: run.label for run in runs})
    with st.container(horizontal=True, gap="small"):
        method_card.buttons(rows["preset"], "cmp")
    method_card.show_wanted(rows)
    _chart(figures.differences(found, labels, norm, over_seeds), "cmp_differences")
    _methods(over_seeds)
    _scores(found, runs, rows)
    st.subheader("Where they differ")
    slices.show(
        current, url_keys.COMPARE_SLICE, [run.key for run in runs], labels, choices.markup, norm
    )
    _landmarks(current, choices)
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        with grid.cell():
            _chart(figures.ceds(errors, labels, norm), "cmp_ced")
        with grid.cell():
            _curves(current, runs, norm)
        with grid.cell():
            _scatter(chosen, runs, paired, errors, norm)
        with grid.cell():
            _cost(choices)
            _calibration(current, choices)
    _settings(current, runs)


def _landmarks(current: StoreVersion, choices: Choices) -> None:
    """Show where on the face the runs differ: by region, and by landmark to the first run."""
    runs, norm, landmarks = choices.runs, choices.norm, choices.board.landmarks
    labels = [run.label for run in runs]
    of = choices.markup, landmarks, norm
    first, *others = runs
    gaps = [landmark_errors.difference(current.path, run.key, first.key, *of) for run in others]
    end = landmark_errors.limit(gaps)
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        with grid.cell():
            parts = [landmark_errors.of_evaluation(current.path, *run.key, *of) for run in runs]
            _chart(figures.regions(parts, labels, norm), "cmp_regions")
        for gap, label in zip(gaps, labels[1:], strict=True):
            with grid.cell():
                chart = landmark_errors.by_difference(gap, (label, labels[0]), norm, end)
                _chart(chart, f"cmp_landmarks_{label}")


def _cost(choices: Choices) -> None:
    """Show what the runs cost beside their error, among all ranked runs of the board."""
    ranked = choices.rows[status.ranked(choices.rows)]
    title = widgets.segmented_control(url_keys.COMPARE_COST, "Cost", figures.known_costs(ranked))
    runs = [run.run for run in choices.runs]
    labels = [run.label for run in choices.runs]
    _chart(figures.pareto(ranked, runs, labels, title, choices.norm), "cmp_pareto")


def _calibration(current: StoreVersion, choices: Choices) -> None:
    """Show whether those runs that predict covariances err as much as they expect."""
    of = choices.markup, choices.board.landmarks, choices.norm
    known = [
        (number, (run.label, found))
        for number, run in enumerate(choices.runs)
        if (found := calibration.of_evaluation(current.path, *run.key, *of)) is not None
    ]
    if known:
        numbers, pairs = zip(*known, strict=True)
        _chart(calibration.chart(pairs, choices.norm, numbers), "cmp_calibration")


@st.cache_data(max_entries=16, show_spinner=False)
def _compared(
    path: str,
    revision: int,
    evaluations: tuple[tuple[str, int], ...],
    norm: str,
    sound: tuple[bool, ...],
) -> list[Comparison]:
    # The runs' ids guard against a replaced file (see store.py).
    paired = store.paired_errors(StoreVersion(path, revision), evaluations, norm)
    return tables.compare(paired[norm], sound)


def _verdicts(found: list[Comparison], runs: list[SelectedRun], n: int, norm: str) -> None:
    """Say in a line per run how it compares with the first one: readable on any screen."""
    labels = [run.label for run in runs]
    first = f"{labels[0]} {100 * found[0].scores['nme']:.2f} %"
    lines = "\n".join(f"- {plain(line)}" for line in tables.sentences(found, labels))
    st.markdown(f"The baseline is **{plain(first)}**:\n{lines}")
    st.caption(
        f"The runs are compared on the {n} faces that all of them have. NMEs are in % of the {norm}"
        " distance; the 95 % intervals of differences are over faces, one seed each (paired"
        " bootstrap)."
    )


def _scores(found: list[Comparison], runs: list[SelectedRun], rows: pd.DataFrame) -> None:
    labels = [run.label for run in runs]
    st.subheader("Scores")
    table = tables.score_table(found, labels)
    alt = f"Scores of {len(runs)} runs with their intervals"
    _table(tables.styled(table), labels, "Score", alt, width=_SCORE_PX)
    st.caption(
        "All scores in %. In brackets: difference to the baseline with its 95 % interval."
        f" {tables.BETTER} better, {tables.WORSE} worse: the interval excludes 0."
    )
    if not all(status.ranked(rows)):
        unsound = "; ".join(
            f"{run.label}: {badges.STATUS_STYLES[condition].meaning}"
            for run, condition in zip(runs, rows["condition"], strict=True)
            if condition != status.FINISHED
        )
        st.warning(
            plain(f"Not ranked, and no difference to them is called better or worse: {unsound}"),
            icon=":material/rule:",
        )
    for remark in comparability.remarks(rows):
        st.warning(plain(remark), icon=":material/difference:")
    with st.expander("Size and cost", icon=":material/speed:"):
        _table(
            tables.cost_table(rows, labels), labels, "Property", "Family, size and cost of the runs"
        )


def _methods(found: list[MethodVerdict]) -> None:
    """Show what the leaderboard says of the runs' methods, where these have several seeds."""
    if not found:
        return
    lines = "\n".join(f"- {plain(one.sentence)}" for one in found)
    st.markdown(f"**NME of their methods, over all seeds** (percentage points)\n{lines}")
    st.page_link(
        "views/leaderboard.py",
        label="Show these methods on the leaderboard",
        icon=":material/leaderboard:",
        query_params=navigation.to(
            url_keys.LEADERBOARD,
            **{url_keys.BOARD_BASE.name: found[0].baseline[: selection.SHORT]},
        ),
    )


def _table(
    table: object, labels: list[str], first: str, alt: str, width: int | None = None
) -> None:
    """Show a table with a column per run. width: of each, px; without it they share the room."""
    text = st.column_config.TextColumn
    st.dataframe(
        table,
        height="content",
        column_config={"_index": text(first, width="medium")}
        | {label: text(width=width) for label in labels},
        alt=alt,
    )


def _curves(current: StoreVersion, runs: list[SelectedRun], norm: str) -> None:
    frames = [store.curves(current, run.run) for run in runs]
    on_offer = tables.curves_on_offer(frames, norm)
    if not on_offer:
        st.subheader("Training curves")
        st.info("None of these runs recorded an epoch.")
        return
    heading = st.empty()
    title = widgets.select(url_keys.COMPARE_CURVE, "Curve", list(on_offer), width=240)
    labels = [run.label for run in runs]
    chart = figures.curves(frames, labels, on_offer[title], title)
    heading.subheader(plain(chart.title))
    st.plotly_chart(chart.figure, key="cmp_curves", config=theme.CHART_CONFIG, alt=chart.alt)


def _scatter(
    chosen: Board, runs: list[SelectedRun], paired: Paired, errors: np.ndarray, norm: str
) -> None:
    """Show the errors of two runs face by face; a click on one opens it on the page Images."""
    heading = st.empty()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        with st.container(width=200):
            x = selection.choose_one(url_keys.COMPARE_X, "x axis", runs, 0)
        with st.container(width=200):
            y = selection.choose_one(url_keys.COMPARE_Y, "y axis", runs, 1)
        st.page_link(
            "views/images.py",
            label="Show these faces on Images",
            icon=":material/photo_library:",
            query_params=navigation.to(
                url_keys.IMAGES,
                **_images(chosen, runs, x, y),
                **{url_keys.IMAGES_SORT.name: IMPROVEMENT},
            ),
        )
    names = (runs[x].label, runs[y].label)
    chart = figures.scatter(paired.names, errors[x], errors[y], names, norm)
    heading.subheader(plain(chart.title), help=plain(chart.help))
    st.session_state[_SHOWN] = _images(chosen, runs, x, y)
    st.plotly_chart(
        chart.figure,
        key=_SCATTER,
        config=theme.CHART_CONFIG,
        on_select=_open_face,
        selection_mode="points",
        alt=chart.alt,
    )


def _images(chosen: Board, runs: list[SelectedRun], x: int, y: int) -> dict[str, str]:
    """Return the parameters of the page Images for these runs; improvement is y's over x."""
    return {
        url_keys.IMAGES_EVALUATION.name: chosen.label,
        url_keys.IMAGES_RUNS.name: ",".join(run.run[: selection.SHORT] for run in runs),
        url_keys.IMAGES_A.name: runs[y].run[: selection.SHORT],
        url_keys.IMAGES_B.name: runs[x].run[: selection.SHORT],
    }


def _open_face() -> None:
    """Open the face whose point was clicked. Its name comes with the point."""
    if points := st.session_state[_SCATTER].selection.points:
        name = points[0]["customdata"]
        face = {url_keys.IMAGES_FACE.name: name if isinstance(name, str) else name[0]}
        st.switch_page(
            "views/images.py",
            query_params=navigation.to(url_keys.IMAGES, **st.session_state[_SHOWN], **face),
        )


def _settings(current: StoreVersion, runs: list[SelectedRun]) -> None:
    st.subheader("Configuration differences")
    everything = widgets.toggle(url_keys.COMPARE_ALL, "Show identical keys")
    settings = store.settings_of(current, [run.run for run in runs])
    labels = [run.label for run in runs]
    shared, alone = tables.settings_tables(settings, labels, everything=everything)
    differing = tables.settings_tables(settings, labels, everything=False)
    n_shared, n_alone = map(len, differing)
    st.caption(
        f"{n_shared + n_alone} of {settings.shape[1]} configuration keys differ,"
        f" {n_alone} of them because only some of the families have them."
    )
    if len(shared):
        _table(shared, labels, "Key", "Configuration of the runs, one column each")
    if len(alone):
        with st.expander(f"{len(alone)} keys that only some of the families have"):
            _table(alone, labels, "Key", "Keys that only some of the families have")


def _chart(chart: Chart, key: str) -> None:
    st.subheader(plain(chart.title))
    if chart.help:
        st.caption(plain(chart.help))
    st.plotly_chart(chart.figure, key=key, config=theme.CHART_CONFIG, alt=chart.alt)


page(st.session_state["store"])
