"""Dialog with one large face and the predictions of all chosen runs, and keys to leaf through."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from drf.scoring import scores
from webapp import store
from webapp.faces import figure, landmark_errors, marks
from webapp.faces.figure import PredictedShape
from webapp.links import address, url_keys, widgets
from webapp.selection import SelectedRun
from webapp.store import StoredFace, StoreVersion
from webapp.ui import error_pages, theme
from webapp.ui.text import percent, plain

READABLE = 2
"""Runs that can be drawn with their ellipses and error lines over each other; more of them start
with the landmarks alone."""

_ALL = str(url_keys.IMAGES_SHOWN.default)
_CONFIG = theme.CHART_CONFIG | {"scrollZoom": True}


@dataclass(frozen=True)
class FaceDialogState:
    """The faces and runs of the dialog.

    current   store
    page      that it is opened on, for the link to a face
    order     names of the faces in the order of the page, for Previous and Next
    order_by  what that order is, in words: by disagreement
    ids       of all faces by name, including those that the page's filters exclude
    runs      whose predictions are drawn
    norm      of the errors
    """

    current: StoreVersion
    page: str
    order: Sequence[str]
    order_by: str
    ids: dict[str, int]
    runs: Sequence[SelectedRun]
    norm: str


def open_one(name: str) -> None:
    """Name a face in the link, so that the next run of the page shows it. A callback."""
    address.write(url_keys.IMAGES_FACE.name, [name])


def show_wanted(state: FaceDialogState) -> None:
    """Open the dialog if the link names a face; notify if it is not on this board."""
    wanted = address.get(url_keys.IMAGES_FACE.name)
    if wanted is None:
        return
    if wanted in state.ids:
        _dialog(state)
    else:
        widgets.refuse(
            url_keys.IMAGES_FACE,
            f"The link asks for face “{widgets.quoted(wanted)}”, which is not on this board.",
        )


def _close() -> None:
    address.write(url_keys.IMAGES_FACE.name, [])


@st.dialog("One face", width="large", on_dismiss=_close)
def _dialog(state: FaceDialogState) -> None:
    with address.one_entry(), error_pages.boundary():
        _content(state)


def _content(state: FaceDialogState) -> None:
    # Read again here: leafing through runs the dialog alone, and not the page below it.
    name = address.get(url_keys.IMAGES_FACE.name) or ""
    if name not in state.ids:
        return
    # The picture comes last: the room that a chart leaves below it on a phone then ends the page.
    side, picture = st.columns([2, 5], gap="medium")
    with side:
        st.subheader(plain(name))
        _neighbours(state, name)
        found = store.faces(
            state.current.path, [(run.evaluation, state.ids[name]) for run in state.runs]
        )
        drawn = _shown(state)
        few = len(state.runs) <= READABLE
        segments = widgets.toggle(
            url_keys.IMAGES_SEGMENTS, "Show the error of each landmark", default=few
        )
        predicted = any(face.covariances is not None for face in found)
        ellipses = predicted and widgets.toggle(
            url_keys.IMAGES_ELLIPSES,
            f"Show predicted uncertainty ({figure.SIGMAS:g}σ)",
            f"Ellipses of {figure.SIGMAS:g} standard deviations, for models that predict them.",
            default=few,
        )
        numbers = widgets.toggle(url_keys.IMAGES_NUMBERS, "Show landmark numbers")
        _errors(state, found)
        _regions(state, found)
        with st.popover("Link to this face", icon=":material/link:"):
            st.caption("Copy it with the button.")
            link = widgets.full_link(state.page, state.current.revision)
            st.code(link, language=None, wrap_lines=True)
        st.caption(
            "Hover over a landmark to see its name and its share of the error of this face. Scroll"
            " to zoom, drag to move. The keys ← and → show the previous and the next face."
        )
    with picture:
        _figure(state, name, found, drawn, segments=segments, ellipses=ellipses, numbers=numbers)


def _neighbours(state: FaceDialogState, name: str) -> None:
    """Show the buttons Previous and Next, in the order of the page."""
    place = state.order.index(name) if name in state.order else None
    ways = (
        ("Previous", ":material/arrow_back:", -1, "Left"),
        ("Next", ":material/arrow_forward:", 1, "Right"),
    )
    with st.container(horizontal=True, gap="small"):
        for label, icon, step, key in ways:
            there = -1 if place is None else place + step
            beyond = not 0 <= there < len(state.order)
            goal = name if beyond else state.order[there]
            st.button(
                label, icon=icon, disabled=beyond, on_click=open_one, args=(goal,), shortcut=key
            )
    if place is None:
        st.caption("The filters of the page exclude this face.")
    else:
        st.caption(f"{place + 1} of {len(state.order)}, {plain(state.order_by)}")


def _shown(state: FaceDialogState) -> list[int]:
    """Return the runs that are drawn: all, or the one that the visitor chose to look at alone."""
    n = len(state.runs)
    if n == 1:
        return [0]
    options = [_ALL, *(str(number + 1) for number in range(n))]
    chosen = widgets.segmented_control(
        url_keys.IMAGES_SHOWN,
        "Draw",
        options,
        "The predictions of all runs together, or those of one run alone.",
    )
    return [*range(n)] if chosen == _ALL else [int(chosen) - 1]


def _errors(state: FaceDialogState, found: Sequence[StoredFace]) -> None:
    """List the runs with their number, their marker and their error on this face."""
    lines = []
    for number, (run, face) in enumerate(zip(state.runs, found, strict=True)):
        colour, marker = figure.look(number)
        (error,) = scores.known_errors(
            face.prediction[None], face.ground_truth[None], state.norm, face.markup
        )
        place = f"{number + 1} · " if len(state.runs) > 1 else ""
        said = f"{place}{percent(100 * error)} {run.label}"
        lines.append(marks.chip(marks.OF_PLOTLY[marker], colour, said))
    st.html(marks.column(lines))


def _regions(state: FaceDialogState, found: Sequence[StoredFace]) -> None:
    """Show the error of every region of the face, a column per run."""
    means = [
        landmark_errors.region_means(landmark_errors.of_face(face, state.norm)) for face in found
    ]
    regions = list(dict.fromkeys(region for of in means for region in of))
    if not regions:
        return
    heads = [str(number + 1) for number in range(len(means))] if len(means) > 1 else ["error, %"]
    rows = [
        [html.escape(region), *(f"{100 * of[region]:.2f}" if region in of else "–" for of in means)]
        for region in regions
    ]
    head = "".join(f'<th scope="col" style="text-align:right">{one}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:400">{first}</th>'
        + "".join(f'<td style="text-align:right">{cell}</td>' for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    caption = f"Error by region, % of the {state.norm} distance"
    look = "font-size:0.875rem;border-spacing:14px 2px;margin-left:-14px"
    st.html(
        f'<table style="{look}"><caption style="text-align:left;padding-left:14px">{caption}'
        f"</caption><tr><td></td>{head}</tr>{body}</table>"
    )


def _figure(
    state: FaceDialogState,
    name: str,
    found: Sequence[StoredFace],
    drawn: Sequence[int],
    *,
    segments: bool,
    ellipses: bool,
    numbers: bool,
) -> None:
    shapes = [
        PredictedShape(
            state.runs[k].label, found[k].prediction, found[k].covariances if ellipses else None
        )
        for k in drawn
    ]
    chart = figure.draw(
        name,
        found[0].ground_truth,
        found[0].crop,
        shapes,
        state.norm,
        found[0].markup,
        error_segments=segments,
        numbers=numbers,
        visibility=found[0].visibility,
        colours_from=drawn,
    )
    if found[0].crop is None:
        st.caption("No picture of this face in the store.")
    st.plotly_chart(chart.figure, key="img_large", config=_CONFIG, alt=chart.alt)
