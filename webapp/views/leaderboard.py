"""Leaderboard: the methods or runs of one board, ranked, with intervals and differences."""

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from db import board as rows_of
from db import box_labels, comparability
from drf import literature, scores, statistics
from webapp import store
from webapp.leaderboard import changes, columns, controls, export, table, typeset, words
from webapp.leaderboard.controls import BoardChoice
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, View
from webapp.links import share, url_keys, widgets
from webapp.run import method_card
from webapp.scores import best_and_second, evaluation_label
from webapp.store import StoreVersion
from webapp.ui import error_pages
from webapp.ui.text import percent, plain

_TABLE = "lb_table"
_SHOWN = "lb_shown"
_GOAL = "lb_goal"
_NAMING = ("kind", "runs", "id", "dataset", "subset", "box", "landmarks", "flip_test")
_HEADLINES = ("nme", "fr8", "auc8")


def page(current: StoreVersion) -> None:
    if goal := st.session_state.pop(_GOAL, None):
        st.switch_page("views/run.py", query_params=goal)
    st.title("Leaderboard")
    notice, at_revision = st.container(), share.revision_shown(current)
    boards = store.boards(current, at_revision)
    if boards.empty:
        _nothing_evaluated(current)
        return
    board = controls.choose_board(current, boards, at_revision)
    with notice:
        share.choose_revision(current, board.where)
        changes.show(current, board)
    all_rows = load_rows(current, as_runs=board.as_runs, at_revision=at_revision, **board.where)
    _headline(all_rows, board)
    _warn(all_rows)
    _ranking(board, at_revision)


@st.fragment
def _ranking(board: BoardChoice, at_revision: int | None) -> None:
    """Show the rows. A choice among them reruns this fragment alone, without the page around it."""
    with error_pages.boundary():
        if _GOAL in st.session_state:  # from here the norm, a control of both pages, would be lost
            st.rerun()
        current = store.current()
        entries = store.leaderboard(current, **board.where, at_revision=at_revision)
        all_rows = load_rows(current, as_runs=board.as_runs, at_revision=at_revision, **board.where)
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            arranged = controls.choose_rows(entries["family"].unique())
            tag = words.choose_tag(current)
            how, published = controls.choose_display(current, all_rows, board)
        rows = words.having(current, arrange(all_rows, norm=board.norm, **arranged), tag)
        if rows.empty:
            st.info("No row of this board matches.", icon=":material/search_off:")
            return
        shown = functools.partial(
            table.build,
            current,
            rows,
            how,
            opened=None if board.as_runs else _opened(current, entries, rows),
            published=_published(board.where, how) if published else (),
        )
        _table(shown, len(rows), board.as_runs)
        with st.container(horizontal=True, vertical_alignment="center"):
            _downloads(shown, _facts(current, board, how, arranged | {"tag": tag}, at_revision))
            share.link(url_keys.LEADERBOARD, current, at_revision)
            changes.choose()
        with st.container(horizontal=True, gap="small"):
            method_card.buttons(rows["preset"], "lb")
        method_card.show_wanted(entries)


def _nothing_evaluated(current: StoreVersion) -> None:
    st.info("No run has been evaluated yet.", icon=":material/hourglass_empty:")
    if len(store.runs(current)):
        st.markdown("Evaluate a run that was trained:")
        st.code("drf eval RUN", language="bash")
    else:
        st.markdown("Train and evaluate a model, on the built-in synthetic faces for a start:")
        st.code("drf train", language="bash")


def _headline(rows: pd.DataFrame, board: BoardChoice) -> None:
    """Show the best of three scores, with who has it, among what is ranked."""
    ranked = rows[rows["ranked"]]
    with st.grid(4, min_column_width=150, gap="small") as cards:
        for score in map(scores.score, _HEADLINES):
            column = scores.column(board.norms[board.norm], score.key)
            values = ranked[column].dropna()
            if values.empty:
                continue
            first, _ = best_and_second(values, score.better)
            more = f" and {len(first) - 1} more" if len(first) > 1 else ""
            names, best = ranked.loc[first, "name"], values[first]
            with cards.cell():
                _card(
                    f"Best {score.title}",
                    percent(best.iloc[0]),
                    f"{names.iloc[0]}{more}",
                    score.meaning,
                )
        faces = " or ".join(str(n) for n in sorted(rows["n"].unique()))
        with cards.cell():
            _card(
                f"{'Runs' if board.as_runs else 'Methods'} on this board",
                str(len(rows)),
                f"{faces} faces of {board.where['dataset']} {board.where['subset']}",
            )


def _card(title: str, value: str, of: str, meaning: str | None = None) -> None:
    """Show a score. of: name of the row that has it (untrusted text)."""
    st.metric(
        title,
        value,
        plain(of),
        delta_color="off",
        delta_arrow="off",
        help=meaning,
        border=True,
        height="stretch",
    )


def _opened(
    current: StoreVersion, entries: pd.DataFrame, rows: pd.DataFrame
) -> pd.DataFrame | None:
    """Return the runs of the method that the link opens, best first. The link may name it by its id
    in an earlier version."""
    wanted = st.query_params.get(url_keys.BOARD_OPEN.name, "").lower()
    if not wanted:
        return None
    found = rows[rows["id"].str.startswith(wanted)]
    if found.empty:
        found = rows[rows["id"] == store.method_today(current, wanted)]
    if found.empty:
        sentence = f"The method “{plain(wanted)}” that the link opens is not in this view."
        st.warning(sentence, icon=":material/link_off:")
        return None
    mine = entries["evaluation"].isin(found.iloc[0]["evaluations"])
    return rows_of.by_run(entries[mine], store.method_of_runs(current))


def _published(where: dict[str, str], how: DisplayOptions) -> list[literature.Figure]:
    subset = {key: where[key] for key in ("dataset", "subset", "landmarks")}
    found = literature.figures(**subset, norms=how.norms)
    if not found:
        st.caption("No published results are known for this subset and normaliser.")
    return found


def _table(shown: Callable[..., View], n_rows: int, as_runs: bool) -> None:
    size = controls.ROWS_A_PAGE
    number = widgets.pagination(url_keys.BOARD_PAGE, -(-n_rows // size))
    view = shown(page=slice((number - 1) * size, number * size))
    st.session_state[_SHOWN] = [_target(row) for row in view.rows[[*_NAMING]].to_dict("records")]
    opened = st.query_params.get(url_keys.BOARD_OPEN.name, "")
    key = f"{_TABLE}_{opened}_{number}"  # another table: what was ticked in this one is not there
    st.dataframe(
        table.styled(view),
        hide_index=True,
        height="content",
        column_config=columns.config(view.table, view.norms, view.over),
        key=key,
        on_select=functools.partial(_ticked, key),
        selection_mode="single-row",
        placeholder="–",
        alt=f"Leaderboard of {n_rows} {'runs' if as_runs else 'methods'}, as in the exports",
    )
    _legend(view, as_runs)


def _legend(view: View, as_runs: bool) -> None:
    tick = "Select a row (by keyboard: Shift+Space) to open its run." + (
        "" if as_runs else " For a method with several runs, this lists them."
    )
    st.caption(f"**Bold**: best. Underlined: second. All scores in %. {tick}")
    if not view.rows.loc[view.rows["kind"] != "published", "ranked"].eq(True).all():
        st.caption(
            "Not ranked, and nowhere best: what is not finished, or learned nothing; the word"
            " behind the name says why."
        )
    if view.notes:
        st.caption(plain(" ".join(view.notes)))
    if view.hidden:
        said = " · ".join(f"{title} {value}" for title, value in view.hidden.items())
        st.caption(plain(f"The same in every row: {said}"))
    for remark in view.remarks:
        if remark != comparability.OTHER_FACES:  # said above the rows
            st.caption(f":material/difference: {remark}")
    figures = view.rows.loc[view.rows["kind"] == "published"]
    if len(figures):
        sources = dict.fromkeys(
            f"{f.source}; {f.protocol}" for row in figures["figures"] for f in row
        )
        st.caption(plain(f"In grey, not ranked: {'. '.join(sources)}."))


def _target(row: dict[str, Any]) -> dict[str, str]:
    """Return the parameters that selecting a row sets: its run's page, or the method to open."""
    if row["kind"] == "published":
        return {}
    if len(row["runs"]) > 1:
        return {url_keys.BOARD_OPEN.name: row["id"]}
    label = evaluation_label(pd.Series(row))
    return {url_keys.RUN_ID.name: row["runs"][0][:8], url_keys.RUN_EVALUATION.name: label}


def _ticked(key: str) -> None:
    """Open the selected row, looked up in the rows that the visitor saw: in the next run of the
    page another row may be at its position."""
    picked = st.session_state[key].selection.rows
    target = st.session_state[_SHOWN][picked[0]] if picked else {}
    if method := target.get(url_keys.BOARD_OPEN.name):
        is_open = method.startswith(st.query_params.get(url_keys.BOARD_OPEN.name, " "))
        widgets.set_parameter(url_keys.BOARD_OPEN, None if is_open else method)
    elif target:
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
    return {
        **board.where,
        "ranked_by": scores.column(board.norms[board.norm], "nme"),
        **arranged,
        "baseline": None if how.baseline is None else how.baseline["id"],
        "intervals": f"95 %: {statistics.ESTIMATE}; {statistics.DRAWS} draws, seed 0",
        "revision": current.revision if at_revision is None else at_revision,
    }


def _downloads(shown: Callable[..., View], facts: dict[str, Any]) -> None:
    """Offer the view, all of its pages, in five formats; a file is made when it is asked for."""
    stem = f"drf-{facts['dataset']}-{facts['subset']}-{facts['ranked_by'].removesuffix('_nme')}"
    norm = scores.normaliser(facts["ranked_by"].removesuffix("_nme"))
    caption = (
        f"{facts['dataset']} {facts['subset']}, box {box_labels.title(facts['box'])}, ranked by the"
        f" NME normalised by {norm.title.lower()}, in percent; best in bold, second underlined."
        " Rows without a rank are not finished or learned nothing: see the word behind the name."
    )
    formats: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "CSV": (".csv", "text/csv", lambda: export.as_csv(shown())),
        "JSON": (".json", "application/json", lambda: export.as_json(shown(), facts)),
        "Markdown": (".md", "text/markdown", lambda: typeset.as_markdown(shown())),
        "LaTeX": (".tex", "text/x-tex", lambda: typeset.as_latex(shown(), caption)),
        "BibTeX": (".bib", "text/x-bibtex", lambda: typeset.as_bibtex(shown())),
    }
    with st.popover("Export this view", icon=":material/download:"):
        st.caption("All rows of the view, on every page of it, with the ids of their runs.")
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
