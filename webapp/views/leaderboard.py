"""Leaderboard: every evaluated run of one board, ranked under one of two normalisations."""

import pandas as pd
import streamlit as st

from webapp import board, share, store, url_keys, url_state
from webapp.store import Store
from webapp.text import percent, plain

_TABLE = "lb_table"
_SHOWN = "lb_shown"


def page(current: Store) -> None:
    st.title("Leaderboard")
    boards = store.boards(current)
    if boards.empty:
        _nothing_evaluated(current)
        return
    norm, chosen = _choose_board(boards)
    entries = store.leaderboard(current, **chosen)
    rows = board.arrange(entries, norm=norm, **_choose_rows())
    share.moved_on(current)
    _headline(entries, norm, chosen)
    if rows.empty:
        st.info("No run on this board matches the text.", icon=":material/search_off:")
    else:
        _table(rows, norm)
    _footer(current, entries, rows, norm, chosen)


def _nothing_evaluated(current: Store) -> None:
    st.info("No run has been evaluated yet.", icon=":material/hourglass_empty:")
    if len(store.runs(current)):
        st.markdown("Evaluate a run that was trained:")
        st.code("drf eval RUN", language="bash")
    else:
        st.markdown("Train and evaluate a model, on the built-in synthetic faces for a start:")
        st.code("drf train hourglass", language="bash")


def _choose_board(boards: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """Show the filters; each offers what the ones before it leave, the fullest first."""
    chosen: dict[str, str] = {}
    filters = (
        (url_keys.BOARD_DATASET, "dataset", "Dataset", None),
        (url_keys.BOARD_SUBSET, "subset", "Subset", None),
        (url_keys.BOARD_POINTS, "points", "Landmarks", "The points that errors average over."),
        (url_keys.BOARD_BOX, "box", "Box", "How faces were cropped; see About."),
    )
    with st.container(horizontal=True, gap="small"):
        norm = url_state.switch(
            url_keys.NORM,
            "Normalised by",
            list(board.NORMS),
            "Distance of the outer eye corners (ocular) or of the eye centres (pupil).",
        )
        for key, column, label, help_text in filters:
            options = _fullest_first(boards, column)
            with st.container(width=170):
                chosen[column] = url_state.select(key, label, options, help_text)
            boards = boards[boards[column] == chosen[column]]
    return norm, chosen


def _fullest_first(boards: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a filter, most rows first; on a tie in the usual order."""
    counts = boards.groupby(column)["entries"].sum().to_dict()
    return sorted(counts, key=lambda name: (-counts[name], board.usual_order(name)))


def _choose_rows() -> dict[str, str]:
    with st.container(horizontal=True, gap="small"):
        with st.container(width=260):
            text = st.text_input(
                "Find",
                key=url_keys.BOARD_TEXT.name,
                bind="query-params",
                placeholder="name, family, preset or id",
                icon=":material/search:",
            )
        with st.container(width=170):
            sort = url_state.select(url_keys.BOARD_SORT, "Sort by", list(board.SORTS))
        order = url_state.switch(url_keys.BOARD_ORDER, "Order", board.ORDERS)
    return {"sort": sort, "order": order, "text": text}


def _headline(entries: pd.DataFrame, norm: str, chosen: dict[str, str]) -> None:
    """Show the best of three scores, with who has it."""
    prefix = board.NORMS[norm]
    with st.grid(4, min_column_width=150, gap="small") as cards:
        for score in board.SCORES[:3]:
            values = entries[f"{prefix}_{score.key}"]
            best = entries.loc[values.idxmin() if score.better == "lower" else values.idxmax()]
            with cards.cell(), st.container(border=True, height="stretch", gap="xxsmall"):
                value = percent(best[f"{prefix}_{score.key}"])
                st.metric(f"Best {score.title[:-2]}", value, help=score.meaning)
                st.caption(plain(best["name"]))
        with cards.cell(), st.container(border=True, height="stretch", gap="xxsmall"):
            st.metric("Runs on this board", str(entries["run"].nunique()))
            faces = " or ".join(str(n) for n in sorted(entries["n"].unique()))
            st.caption(plain(f"{faces} faces of {chosen['dataset']} {chosen['subset']}"))


def _table(rows: pd.DataFrame, norm: str) -> None:
    shown = board.table(rows)
    labels = rows.apply(board.evaluation_label, axis=1)
    st.session_state[_SHOWN] = list(zip(rows["run"], labels, strict=True))
    st.dataframe(
        board.styled(shown),
        hide_index=True,
        height="content" if len(shown) <= 25 else 915,
        column_config=board.column_config(norm),
        key=_TABLE,
        on_select=_open_run,
        selection_mode="single-row",
        placeholder="–",
        alt=f"Leaderboard of {len(shown)} runs by {norm.lower()} normalisation, as in the CSV",
    )
    st.caption(
        "**Bold**: best. Underlined: second. All scores in %. Tick a row to open the run.",
    )


def _open_run() -> None:
    """Open the run whose row was ticked, looked up in the rows that the visitor saw: by the time of
    the next run of the page another may stand in that place. The norm, a control of both pages,
    goes along by itself."""
    if picked := st.session_state[_TABLE].selection.rows:
        run_id, label = st.session_state[_SHOWN][picked[0]]
        link = {url_keys.RUN_ID.name: run_id[:8], url_keys.RUN_EVALUATION.name: label}
        st.switch_page("views/run.py", query_params=link)


def _footer(
    current: Store,
    entries: pd.DataFrame,
    rows: pd.DataFrame,
    norm: str,
    chosen: dict[str, str],
) -> None:
    if len(set(entries["manifest_digest"])) > 1:
        st.warning(
            "These runs were evaluated on different sets of faces (their manifests differ), so "
            "their scores compare only roughly.",
            icon=":material/difference:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV of this view",
            board.csv(rows, norm),
            file_name=f"drf-{chosen['dataset']}-{chosen['subset']}-{norm.lower()}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        share.link(url_keys.LEADERBOARD, current)


page(st.session_state["store"])
