"""Dialog with one large face and the predictions of all chosen runs; buttons for its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from drf import scores
from webapp import store
from webapp.faces import figure
from webapp.faces.figure import PredictedShape
from webapp.links import address, url_keys, widgets
from webapp.selection import SelectedRun
from webapp.store import StoredFace
from webapp.ui import error_pages, theme
from webapp.ui.text import percent, plain

_GLYPHS = dict(zip(figure.MARKERS, "●■◆▲✚✖★", strict=True))
_CONFIG = theme.CHART_CONFIG | {"scrollZoom": True}


@dataclass(frozen=True)
class FaceDialogState:
    """The faces and runs of the dialog.

    path    of the store
    order   names of the faces in the order of the page, for Previous and Next
    ids     of all faces by name, including those that the page's filters exclude
    runs    whose predictions are drawn
    norm    of the errors
    """

    path: str
    order: Sequence[str]
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
        widgets.notify(
            f"The link asks for face “{widgets.quoted(wanted)}”, which is not on this board."
        )


def _close() -> None:
    address.write(url_keys.IMAGES_FACE.name, [])


@st.dialog("Face", width="large", on_dismiss=_close)
def _dialog(state: FaceDialogState) -> None:
    with error_pages.boundary():
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
        segments = widgets.toggle(url_keys.IMAGES_SEGMENTS, "Show the error of each landmark")
    found = _read(state, name)
    with side:
        predicted = any(face.covariances is not None for face in found)
        ellipses = predicted and widgets.toggle(
            url_keys.IMAGES_ELLIPSES,
            f"Show predicted uncertainty ({figure.SIGMAS:g}σ)",
            f"Ellipses of {figure.SIGMAS:g} standard deviations, for models that predict them.",
        )
        _errors(state, found)
        st.caption(
            "Hover over a landmark to see its name and its share of this image's NME. Scroll to"
            " zoom, drag to move; click an entry of the legend to hide its run."
        )
    with picture:
        _figure(state, name, found, segments=segments, ellipses=ellipses)


def _neighbours(state: FaceDialogState, name: str) -> None:
    """Show the buttons Previous and Next, in the order of the page."""
    place = state.order.index(name) if name in state.order else None
    ways = (("Previous", ":material/arrow_back:", -1), ("Next", ":material/arrow_forward:", 1))
    with st.container(horizontal=True, gap="small"):
        for label, icon, step in ways:
            there = -1 if place is None else place + step
            beyond = not 0 <= there < len(state.order)
            goal = name if beyond else state.order[there]
            st.button(label, icon=icon, disabled=beyond, on_click=open_one, args=(goal,))
    if place is None:
        st.caption("The filters of the page exclude this face.")
    else:
        st.caption(f"{place + 1} of {len(state.order)} in the order of the page")


def _read(state: FaceDialogState, name: str) -> list[StoredFace]:
    return store.faces(state.path, [(run.evaluation, state.ids[name]) for run in state.runs])


def _errors(state: FaceDialogState, found: Sequence[StoredFace]) -> None:
    """List the runs with their marker and their error on this face."""
    lines = []
    for number, (run, face) in enumerate(zip(state.runs, found, strict=True)):
        colour, marker = figure.look(number)
        swatch = f':color[{_GLYPHS[marker]}]{{foreground="{colour}"}}'
        (error,) = scores.known_errors(
            face.prediction[None], face.ground_truth[None], state.norm, face.markup
        )
        lines.append(f"{swatch} **{percent(100 * error)}** {plain(run.label)}")
    st.markdown("  \n".join(lines))


def _figure(
    state: FaceDialogState,
    name: str,
    found: Sequence[StoredFace],
    *,
    segments: bool,
    ellipses: bool,
) -> None:
    shapes = [
        PredictedShape(run.label, face.prediction, face.covariances if ellipses else None)
        for run, face in zip(state.runs, found, strict=True)
    ]
    chart = figure.draw(
        name,
        found[0].ground_truth,
        found[0].crop,
        shapes,
        state.norm,
        found[0].markup,
        error_segments=segments,
    )
    if found[0].crop is None:
        st.caption("No picture of this face in the store.")
    st.plotly_chart(chart.figure, key="img_large", config=_CONFIG, alt=chart.alt)
