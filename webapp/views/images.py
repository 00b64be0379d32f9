"""Images: the faces of a board sorted by error, disagreement or improvement; one in large."""

import pandas as pd
import streamlit as st

from db.analysis.paired import Paired
from webapp import selection, store
from webapp.faces import contact_sheet, dialog, table, tiles
from webapp.faces.dialog import FaceDialogState
from webapp.links import share, url_keys, widgets
from webapp.selection import Choices, SelectedRun
from webapp.store import StoreVersion
from webapp.ui import charts
from webapp.ui.text import percent, plain

PAGE = 24
_ALL = str(url_keys.IMAGES_PART.default)
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
        selection.no_shared_face(norm)
        return
    frame, sort, a = _sorted(current, choices, paired)
    hidden = store.visibilities(current.path, paired.faces) is not None
    tiles.legend(error_segments=False, hidden=hidden)
    shown = _page_of(frame)
    if shown.empty:
        st.info("No face has an error in this range.", icon=":material/search_off:")
    if sort == table.DOUBT:
        _doubtful(frame)
    ids = dict(zip(paired.names, paired.faces.tolist(), strict=True))
    order_by = f"by {sort.lower()}" if sort != table.ERROR else f"by the error of {runs[a].label}"
    state = FaceDialogState(
        current, url_keys.IMAGES, list(frame["name"]), order_by, ids, runs, norm
    )
    captions = {row["name"]: table.caption(row, sort) for _, row in shown.iterrows()}
    errors = dict(zip(paired.names, paired[norm].T, strict=True))
    opened = tiles.grid(state, list(shown["name"]), captions.__getitem__, errors)
    _download(state, shown, captions)
    if not opened:
        dialog.show_wanted(state)


def _sorted(
    current: StoreVersion, choices: Choices, paired: Paired
) -> tuple[pd.DataFrame, str, int]:
    """Show the controls of sorting and filtering; return the faces, the sort and its run."""
    runs, norm = choices.runs, choices.norm
    sorts = [*table.SORTS] if len(runs) > 1 else [table.ERROR]
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        sort = widgets.segmented_control(
            url_keys.IMAGES_SORT,
            "Sort by",
            sorts,
            "Error of one run; disagreement of the chosen runs; improvement over another run;"
            " doubtful label: how much farther the label is from the mean of the chosen runs than"
            " these are from each other.",
        )
        with st.container(width=160):
            a = selection.choose_one(url_keys.IMAGES_A, "Error of", runs, 0)
        b = None
        if sort == table.IMPROVEMENT:
            with st.container(width=160):
                b = selection.choose_one(url_keys.IMAGES_B, "Improvement over", runs, 1 - min(a, 1))
        agreement = None
        if sort in (table.DISAGREEMENT, table.DOUBT):
            keys = tuple(run.key for run in runs)
            agreement = table.agreement(
                current.path, keys, choices.markup, choices.board.landmarks, norm
            )
        errors = paired[norm]
        frame = table.rows(paired, errors, a=a, b=b, agreement=agreement)
        # In a menu, so that the first face is on the first screen of a phone.
        with st.popover("Order and filter", icon=":material/filter_list:"):
            order = widgets.segmented_control(url_keys.IMAGES_ORDER, "Order", table.ORDERS)
            parts = sorted(set(frame["part"]))
            part = _ALL
            if len(parts) > 1:
                part = widgets.select(url_keys.IMAGES_PART, "Subset", [_ALL, *parts])
            limits = widgets.range_slider(url_keys.IMAGES_ERROR, "Error between, %", table.LIMITS)
    wanted = None if part == _ALL else part
    kept = table.arrange(frame, sort=sort, order=order, limits=limits, part=wanted)
    _strip(frame, kept, runs[a], norm)
    return kept, sort, a


def _strip(frame: pd.DataFrame, kept: pd.DataFrame, run: SelectedRun, norm: str) -> None:
    """Show what the faces on the page are of all. By the time that a visitor opens one, the browser
    has loaded Plotly for this."""
    chosen = frame["face"].isin(kept["face"]).to_numpy()
    chart = charts.strip(frame["error"].to_numpy(), chosen)
    said = f"Errors of {run.label}, % of the {norm} distance"
    if len(kept):
        mean = percent(100 * kept["error"].mean())
        said += f": {mean} on average over the {len(kept)} faces chosen (coloured)"
    st.caption(plain(said))
    st.plotly_chart(chart.figure, key="img_strip", config=_STRIP, alt=f"{said}. {chart.alt}")


def _page_of(frame: pd.DataFrame) -> pd.DataFrame:
    number = widgets.pagination(url_keys.IMAGES_PAGE, -(-len(frame) // PAGE))
    return frame.iloc[(number - 1) * PAGE : number * PAGE]


def _doubtful(frame: pd.DataFrame) -> None:
    """List the faces whose label the runs agree against, for whoever looks after the labels."""
    st.caption(
        "The runs agree with each other and not with the label: a doubtful label, or an error that"
        " all of them share, for instance because they learned from the same labels."
    )
    with st.expander("List of these faces", icon=":material/list:"):
        number = st.column_config.NumberColumn
        st.dataframe(
            frame.assign(**{c: 100 * frame[c] for c in table.AGREEMENT}),
            hide_index=True,
            column_order=["name", "consensus", "disagreement", "doubt"],
            column_config={
                "name": st.column_config.TextColumn("Face", width="large"),
                "consensus": number("Label from the mean of the runs, %", format="%.2f"),
                "disagreement": number("Disagreement of the runs, %", format="%.2f"),
                "doubt": number("Difference, %", format="%.2f"),
            },
            alt="Faces with the distance of the label from the runs, the most doubtful first",
        )


def _download(state: FaceDialogState, shown: pd.DataFrame, captions: dict[str, str]) -> None:
    """Offer the faces of the page as a figure: faces down, runs across."""
    if shown.empty:
        return

    def figure() -> bytes:
        rows = [(name, captions[name]) for name in shown["name"]]
        return contact_sheet.of_faces(state, rows).encode()

    st.download_button(
        "Download these faces as a figure (SVG)",
        figure,
        "faces.svg",
        "image/svg+xml",
        icon=":material/download:",
        on_click="ignore",
        help="A row per face, a column per run. The terms of the dataset hold for its pictures.",
    )


page(st.session_state["store"])
