"""Images: the faces of a board sorted by error, disagreement or improvement; one in large."""

import pandas as pd
import streamlit as st

from db.paired import Paired
from webapp import selection, store
from webapp.faces import dialog, table, tiles
from webapp.faces.dialog import FaceDialogState
from webapp.links import address, share, url_keys, widgets
from webapp.selection import Choices, SelectedRun
from webapp.store import StoreVersion
from webapp.ui import charts, error_pages
from webapp.ui.text import percent, plain

PAGE = 24
_ALL = str(url_keys.IMAGES_PART.default)
_COLUMN_PX = 140
_SEEN = "img_seen"
_STRIP = {"displayModeBar": False}


def page(current: StoreVersion) -> None:
    choices, link = selection.page_head(
        current, "Images", url_keys.IMAGES_EVALUATION, url_keys.IMAGES_RUNS, width=520
    )
    if choices is None:
        return
    if not choices.runs:
        st.info("Choose at least one run.", icon=":material/checklist:")
        return
    _gallery(current, choices)
    with link:
        share.link(url_keys.IMAGES, current)


def _gallery(current: StoreVersion, choices: Choices) -> None:
    runs, norm = choices.runs, choices.norm
    paired = store.paired_errors(current, [run.key for run in runs], norm)
    if not len(paired.faces):
        st.info("These runs were evaluated on different faces.", icon=":material/difference:")
        return
    frame, sort, a = _sorted(current, choices, paired)
    _legend(frame, runs, a, norm)
    shown = _page_of(frame)
    if shown.empty:
        st.info("No face has an error in this range.", icon=":material/search_off:")
    ids = dict(zip(paired.names, paired.faces.tolist(), strict=True))
    state = FaceDialogState(current.path, list(frame["name"]), ids, runs, norm)
    if not _grid(state, shown, runs[a], sort):
        dialog.show_wanted(state)


def _sorted(
    current: StoreVersion, choices: Choices, paired: Paired
) -> tuple[pd.DataFrame, str, int]:
    """Show the controls of sorting and filtering; return the faces, the sort and its run."""
    runs, norm = choices.runs, choices.norm
    sorts = [*table.SORTS] if len(runs) > 1 else [table.ERROR]
    with st.container(horizontal=True, gap="small"):
        sort = widgets.segmented_control(
            url_keys.IMAGES_SORT,
            "Sort by",
            sorts,
            "Error of one run, disagreement of the chosen runs, or improvement over another.",
        )
        order = widgets.segmented_control(url_keys.IMAGES_ORDER, "Order", table.ORDERS)
        with st.container(width=180):
            a = selection.choose_one(url_keys.IMAGES_A, "Error of", runs, 0)
        b = None
        if sort == table.IMPROVEMENT:
            with st.container(width=180):
                b = selection.choose_one(url_keys.IMAGES_B, "Improvement over", runs, 1 - min(a, 1))
        apart = None
        if sort == table.DISAGREEMENT:
            keys = tuple(run.key for run in runs)
            apart = table.disagreement(
                current.path, keys, choices.markup, choices.board.landmarks, norm
            )
        errors = paired[norm]
        frame = table.rows(paired, errors, a=a, b=b, disagreement=apart)
        parts = sorted(set(frame["part"]))
        part = _ALL
        if len(parts) > 1:
            part = widgets.select(url_keys.IMAGES_PART, "Subset", [_ALL, *parts], width=180)
        with st.container(width=260):
            limits = widgets.range_slider(url_keys.IMAGES_ERROR, "Error between, %", table.LIMITS)
    wanted = None if part == _ALL else part
    kept = table.arrange(frame, sort=sort, order=order, limits=limits, part=wanted)
    _strip(frame, kept)
    _first_page_of_another_order((choices.board, norm, sort, order, a, b, limits, part))
    return kept, sort, a


def _strip(frame: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Show what the faces on the page are of all. By the time that a visitor opens one, the browser
    has loaded Plotly for this."""
    chosen = frame["face"].isin(kept["face"]).to_numpy()
    chart = charts.strip(frame["error"].to_numpy(), chosen)
    st.plotly_chart(chart.figure, key="img_strip", config=_STRIP, alt=chart.alt)


def _first_page_of_another_order(asked: object) -> None:
    """Go back to the first page where something else is asked for than in the last run."""
    if st.session_state.get(_SEEN, asked) != asked and not address.arriving():
        address.write(url_keys.IMAGES_PAGE.name, [])
    st.session_state[_SEEN] = asked


def _legend(frame: pd.DataFrame, runs: list[SelectedRun], a: int, norm: str) -> None:
    tiles.legend(error_segments=False)
    if frame.empty:
        return
    said = f"{len(frame)} faces, mean error {percent(100 * frame['error'].mean())}"
    said += f" of the {norm} distance, predicted by {runs[a].label}"
    st.caption(plain(said))


def _page_of(frame: pd.DataFrame) -> pd.DataFrame:
    number = widgets.pagination(url_keys.IMAGES_PAGE, -(-len(frame) // PAGE))
    return frame.iloc[(number - 1) * PAGE : number * PAGE]


def _grid(state: FaceDialogState, shown: pd.DataFrame, run: SelectedRun, sort: str) -> bool:
    """Show faces as one run predicts them; a click on the line below one opens it, large. Return
    whether one was opened so in this run of the page."""
    ids = tuple(int(face) for face in shown["face"])
    pictures = tiles.pictures(state.path, run.run, run.evaluation, ids, error_segments=False)
    opened = []
    with st.grid(6, min_column_width=_COLUMN_PX, gap="small") as grid:
        for (_, row), picture in zip(shown.iterrows(), pictures, strict=True):
            with grid.cell(), st.container(gap="xxsmall"):
                said = table.caption(row, sort)
                _picture(picture, f"{row['name']}: {said}, ground truth and prediction drawn on it")
                opened.append(_opener(state, row["name"], said))
    return any(opened)


@st.fragment
def _opener(state: FaceDialogState, name: str, said: str) -> bool:
    """Show the line below a face; return whether it was clicked. A click runs this alone, and not
    the page with all its faces."""
    clicked = False
    with error_pages.boundary():
        clicked = st.button(
            f"**{plain(said)}** {plain(name.rpartition('/')[2])}",
            key=f"img_open_{state.ids[name]}",
            type="tertiary",
            width="stretch",
            help=f"Open {plain(name)}",
            on_click=dialog.open_one,
            args=(name,),
        )
        if clicked:
            dialog.show_wanted(state)
    return clicked


def _picture(jpeg: bytes | None, alt: str) -> None:
    if jpeg is not None:
        st.image(jpeg, width="stretch", alt=f"Face {alt}")
        return
    with st.container(border=True, height=_COLUMN_PX, vertical_alignment="center"):
        st.caption("No picture of this face in the store", text_alignment="center")


page(st.session_state["store"])
