"""Leaderboard: the methods or runs of one board, ranked, with intervals and differences."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from db.analysis import comparability
from db.boards import board as rows_of
from db.boards.verdict import Verdict
from db.recording import box_labels
from drf import literature
from drf.scoring import scores, statistics
from webapp import store
from webapp.leaderboard import (
    changes,
    columns,
    controls,
    export,
    figures,
    grid,
    headline,
    table,
    typeset,
    words,
)
from webapp.leaderboard.controls import BoardChoice
from webapp.leaderboard.grid import Order
from webapp.leaderboard.rows import arrange, load_rows, named
from webapp.leaderboard.table import DisplayOptions, View
from webapp.links import address, navigation, share, url_keys, widgets
from webapp.run import method_card
from webapp.scores import board_label, evaluation_label
from webapp.store import StoreVersion
from webapp.ui import deferred, error_pages, frame, theme
from webapp.ui.text import percent, plain

_TABLE = "lb_table"
_GOAL = "lb_goal"
_CHARTS = "differences-and-curves"
_MOST_COMPARED = 6


def page(current: StoreVersion) -> None:
    if goal := st.session_state.pop(_GOAL, None):
        st.switch_page("views/run.py", query_params=navigation.to(url_keys.RUN, **goal))
    notice, at_revision = st.container(), share.revision_shown(current)
    boards = store.boards(current, at_revision)
    if boards.empty:
        st.title("Leaderboard")
        _nothing_evaluated(current)
        return
    board = controls.choose_board(current, boards, at_revision)
    with notice:
        share.choose_revision(current, board.where)
        changes.show(current, board)
    _ranking(board, at_revision)


@st.fragment
def _ranking(board: BoardChoice, at_revision: int | None) -> None:
    """Show verdict, rows and charts. A choice among them reruns this fragment alone, without the
    page around it."""
    with address.one_entry(), error_pages.boundary():
        if _GOAL in st.session_state:  # from here the norm, a control of both pages, would be lost
            st.rerun()
        current = store.current()
        entries = store.leaderboard(current, **board.where, at_revision=at_revision)
        all_rows = load_rows(current, as_runs=board.as_runs, at_revision=at_revision, **board.where)
        norm = board.norms[board.norm]
        if not address.get(url_keys.BOARD_BASE.name):
            headline.prepare(current, board.where, norm, at_revision)
        headline_place = st.container()
        with st.container(
            key="line_tools", horizontal=True, gap="small", vertical_alignment="center"
        ):
            arranged = controls.choose_rows(entries["family"].unique())
            tag = words.choose_tag(current)
            display = controls.choose_display(current, all_rows, board)
            links, files = (
                st.container(width="content", horizontal=True, vertical_alignment="center")
                for _ in range(2)
            )
        verdict = headline.verdict(current, board.where, norm, display.chosen, at_revision)
        with headline_place:
            _headline(current, board, all_rows, verdict)
        rows = words.having(current, arrange(all_rows, norm=board.norm, **arranged), tag)
        if rows.empty:
            st.info("No row of this board matches.", icon=":material/search_off:")
            return
        shown = functools.partial(
            table.build,
            current,
            rows,
            opened=None if board.as_runs else _opened(current, entries, rows),
            published=_published(board.where, display.how) if display.published else (),
        )
        asked = tuple(controls.ticked())
        ticked = [run for run in rows_of.stand_ins(all_rows) if run.startswith(asked)]
        charted = figures.leading(rows, ticked)
        with links:
            _links(board, charted, ticked)
        with files:
            facts = _facts(current, board, display.how, arranged | {"tag": tag}, at_revision)
            _downloads(shown, display.how, facts, verdict)
            link = st.container(width="content")
            changes.choose()
        _table(shown, display.how, len(rows), board, arranged, ticked)
        with link:  # after the choice of the page of rows, which is in it
            share.link(url_keys.LEADERBOARD, current, at_revision)
        with st.container(horizontal=True, gap="small"):
            method_card.buttons(rows["preset"], "lb")
        method_card.show_wanted(entries)
        _charts(current, rows, display.how, charted)


def _nothing_evaluated(current: StoreVersion) -> None:
    st.info("No run has been evaluated yet.", icon=":material/hourglass_empty:")
    if len(store.runs(current)):
        st.markdown("Evaluate a run that was trained:")
        st.code("drf eval RUN", language="bash")
    else:
        st.markdown("Train and evaluate a model, on the built-in synthetic faces for a start:")
        st.code("drf train\ndrf eval cascade-forest", language="bash")


def _headline(
    current: StoreVersion, board: BoardChoice, rows: pd.DataFrame, verdict: Verdict
) -> None:
    """Show the verdict, what it is about, and where to see why."""
    st.markdown(f"**{plain(verdict.sentence)}**")
    for caveat in verdict.caveats:
        st.caption(f":material/difference: {plain(caveat)}")
    faces = " or ".join(str(n) for n in sorted(rows["n"].unique()))
    where, n = board.where, len(rows)
    landmarks = "" if where["landmarks"] == "all" else f", landmarks {where['landmarks']}"
    kind = ("run" if board.as_runs else "method") + ("" if n == 1 else "s")
    about = (
        f"{n} {kind}, {faces} faces of {where['dataset']} {where['subset']}{landmarks}, box"
        f" {box_labels.title(where['box'])}"
    )
    with st.container(
        key="line_verdict", horizontal=True, gap="small", vertical_alignment="center"
    ):
        st.caption(plain(about), width="content")
        if verdict.best is not None:
            _why(current, board, verdict.best, verdict.norm)
    _warn(rows)


def _why(current: StoreVersion, board: BoardChoice, best: pd.Series, norm: str) -> None:
    """Link to where the best method fails and how it was made, by the run that stands for it."""
    run = rows_of.stand_in(best)[:8]
    common = {url_keys.NORM.name: board.norm}
    of_run = {url_keys.RUN_ID.name: run, url_keys.RUN_EVALUATION.name: evaluation_label(best)}
    images = {
        url_keys.IMAGES_EVALUATION.name: board_label(board.where),
        url_keys.IMAGES_RUNS.name: run,
    }
    region = headline.worst_region(current, best, norm)
    pages = [("views/images.py", "Its worst faces", "sentiment_dissatisfied", images)]
    if region is not None:
        label = f"Its worst region: {region[0]} {percent(region[1])}"
        pages.append(("views/run.py", label, "face", of_run))
    how = of_run | {url_keys.RUN_TAB.name: "Configuration"}
    pages.append(("views/run.py", "How it was made", "build", how))
    for page_of, label, icon, parameters in pages:
        st.page_link(
            page_of,
            label=plain(label),
            icon=f":material/{icon}:",
            query_params=common | parameters,
            width="content",
        )
    method_card.buttons([best["preset"]], "lb_best")


def _links(board: BoardChoice, chosen: pd.DataFrame, ticked: list[str]) -> None:
    """Link to the rows that are ticked on other pages, or to the first two of those that lead."""
    runs = rows_of.stand_ins(chosen)
    most = 2 if set(runs).isdisjoint(ticked) else _MOST_COMPARED
    label, asked = board_label(board.where), ",".join(run[:8] for run in runs[:most])
    common = {url_keys.NORM.name: board.norm}
    for page_of, title, icon, parameters in (
        (
            "views/compare.py",
            "Compare",
            "compare",
            {url_keys.COMPARE_EVALUATION.name: label, url_keys.COMPARE_RUNS.name: asked},
        ),
        (
            "views/images.py",
            "Images",
            "photo_library",
            {url_keys.IMAGES_EVALUATION.name: label, url_keys.IMAGES_RUNS.name: asked},
        ),
    ):
        st.page_link(
            page_of,
            label=title,
            icon=f":material/{icon}:",
            query_params=common | parameters,
            help=f"Of the rows that are ticked, at most {_MOST_COMPARED}; else of the first two.",
            width="content",
        )
    with st.container(key="lb_curves", width="content"):
        st.markdown(f"[:material/show_chart: CED](#{_CHARTS})", width="content")


def _opened(
    current: StoreVersion, entries: pd.DataFrame, rows: pd.DataFrame
) -> pd.DataFrame | None:
    """Return the runs of the method that the link opens, best first. The link may name it by its id
    in an earlier version."""
    wanted = (address.get(url_keys.BOARD_OPEN.name) or "").lower()
    if not wanted:
        return None
    found = rows[named(rows, wanted)]
    if found.empty:
        found = rows[rows["id"] == store.method_today(current, wanted)]
    if found.empty:
        widgets.refuse(
            url_keys.BOARD_OPEN,
            f"The method “{widgets.quoted(wanted)}” that the link opens is not in this view.",
        )
        return None
    mine = entries["evaluation"].isin(found.iloc[0]["evaluations"])
    runs = rows_of.by_run(entries[mine], store.method_of_runs(current))
    return words.with_tags(runs, store.words(current))


def _published(where: dict[str, str], how: DisplayOptions) -> list[literature.Figure]:
    subset = {key: where[key] for key in ("dataset", "subset", "landmarks")}
    found = literature.figures(**subset, norms=how.norms)
    if not found:
        st.caption("No published results are known for this subset and normaliser.")
    return found


def _table(
    shown: Callable[..., View],
    how: DisplayOptions,
    n_rows: int,
    board: BoardChoice,
    arranged: dict[str, str],
    ticked: list[str],
) -> None:
    size = controls.ROWS_A_PAGE
    number = widgets.pagination(url_keys.BOARD_PAGE, -(-n_rows // size))
    view = shown(how, page=slice((number - 1) * size, number * size))
    frame.table_anchor()
    grid.show(
        view,
        key=_TABLE,
        name=f"Leaderboard of {n_rows} {'runs' if board.as_runs else 'methods'}",
        order=Order(arranged["sort"], arranged["order"]),
        ticked=ticked,
        opened=(address.get(url_keys.BOARD_OPEN.name) or "").lower(),
        link={url_keys.NORM.name: board.norm},
        here=address.parameters(),
        on_sort=controls.sort_by,
        on_tick=controls.tick,
        on_open=_open,
    )
    _legend(view, board.as_runs)


def _legend(view: View, as_runs: bool) -> None:
    several = "" if as_runs else " (or lists the runs, where a method has several)"
    said = [
        "**Bold**: best. Underlined: second. All scores in %. A click on a title sorts by it; a"
        f" click on a name opens its run{several}. Compare, Images and the charts show the rows"
        " that are ticked."
    ]
    if not view.rows.loc[view.rows["kind"] != "published", "ranked"].eq(True).all():
        said.append(
            "Runs that have not finished, or that learned nothing, have no rank and are never"
            " marked as best; the word behind the name says why."
        )
    if view.notes:
        said.append(plain(" ".join(view.notes)))
    if view.hidden:
        same = " · ".join(f"{title} {value}" for title, value in view.hidden.items())
        said.append(plain(f"The same in every row: {same}"))
    for remark in view.remarks:
        if remark != comparability.OTHER_FACES:  # said above the rows
            said.append(f":material/difference: {plain(remark)}")
    if view.sources:
        notes = " ".join(f"[{i}] {source}." for i, source in enumerate(view.sources, start=1))
        said.append(
            plain(f"Published results are not ranked; their names link to the paper. {notes}")
        )
    st.caption("\n\n".join(said))


@st.fragment
def _charts(
    current: StoreVersion, rows: pd.DataFrame, how: DisplayOptions, shown: pd.DataFrame
) -> None:
    """Show the CED of the ticked or leading rows, and their differences to the baseline: after the
    table, which can be used while they are made and the browser loads Plotly."""
    asked = headline.ChartsOfRows(rows, shown, how.norms[0], how.baseline)
    st.html(f'<div id="{_CHARTS}"></div>')
    if not deferred.due("lb_charts", asked.key):
        return
    made = headline.charts(current, asked)
    if not made:
        return
    with st.grid(len(made), min_column_width=340, gap="medium") as places:
        for number, chart in enumerate(made):
            with places.cell():
                st.subheader(plain(chart.title), anchor=False)
                st.caption(plain(chart.help))
                st.plotly_chart(
                    chart.figure,
                    key=f"lb_chart_{number}",
                    config=theme.CHART_CONFIG,
                    alt=chart.alt,
                )


def _open(target: dict[str, str]) -> None:
    """Follow the link of a row: the page of its run, or the runs of its method below it."""
    if url_keys.BOARD_OPEN.name in target:
        widgets.set_parameter(url_keys.BOARD_OPEN, target[url_keys.BOARD_OPEN.name] or None)
    else:
        st.session_state[_GOAL] = target


def _warn(rows: pd.DataFrame) -> None:
    if comparability.OTHER_FACES in comparability.inputs(rows):
        st.warning(comparability.OTHER_FACES, icon=":material/difference:")


def _facts(
    current: StoreVersion,
    board: BoardChoice,
    how: DisplayOptions,
    arranged: dict[str, str],
    at_revision: int | None,
) -> dict[str, Any]:
    """Return all choices, for the exports: with them and the store the view can be reproduced."""
    base = how.baseline
    return {
        **board.where,
        "ranked_by": scores.column(how.norms[0], "nme"),
        "normaliser": board.norm,
        **arranged,
        "baseline": None if base is None else {"name": base["name"], "runs": list(base["runs"])},
        "intervals": f"95 %: {statistics.ESTIMATE}; {statistics.DRAWS} draws, seed 0",
        "marks": f"{columns.MARK}: the interval of the difference excludes 0",
        "revision": current.revision if at_revision is None else at_revision,
    }


def _downloads(
    shown: Callable[..., View], how: DisplayOptions, facts: dict[str, Any], verdict: Verdict
) -> None:
    """Offer the view, all of its pages, in several formats; a file is made when it is asked for."""
    stem = f"drf-{facts['dataset']}-{facts['subset']}-{how.norms[0]}"
    paper = replace(how, names=columns.PAPER, hide=False)

    def latex(of: DisplayOptions) -> bytes:
        return typeset.as_latex(view := shown(of), typeset.caption(facts, view), stem)

    def markdown(of: DisplayOptions) -> bytes:
        return typeset.as_markdown(view := shown(of), typeset.caption(facts, view))

    formats: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "LaTeX for a paper": ("-paper.tex", "text/x-tex", lambda: latex(paper)),
        "Markdown for a paper": ("-paper.md", "text/markdown", lambda: markdown(paper)),
        "BibTeX": (".bib", "text/x-bibtex", lambda: typeset.as_bibtex(shown(how))),
        "CSV": (".csv", "text/csv", lambda: export.as_csv(shown(how))),
        "JSON": (
            ".json",
            "application/json",
            lambda: export.as_json(shown(how), facts, verdict.record()),
        ),
        "Markdown": (".md", "text/markdown", lambda: markdown(how)),
        "LaTeX": (".tex", "text/x-tex", lambda: latex(how)),
    }
    with st.popover("Export this view", icon=":material/download:"):
        st.caption(
            "All rows of the view, on every page of it, with the ids of their runs. For a paper:"
            " only the columns that fit a page. A chart is saved as SVG by the camera above it."
        )
        for title, (ending, mime, make) in formats.items():
            st.download_button(
                title,
                make,
                file_name=stem + ending,
                mime=mime,
                width="stretch",
                on_click="ignore",
            )


page(st.session_state["store"])
