"""Errors of runs in parts of a board: by attitude of the head, size, hidden landmarks, folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from drf.scoring import slices
from drf.scoring.slices import Attribute, Bins
from drf.scoring.statistics import Interval
from webapp import store
from webapp.faces.figure import MARKERS
from webapp.links import widgets
from webapp.links.url_keys import UrlKey
from webapp.store import StoreVersion
from webapp.ui import theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart, plain

Evaluations = Sequence[tuple[str, int]]
"""(run, evaluation) each, as `store.paired_errors` takes them."""


def show(
    current: StoreVersion,
    key: UrlKey,
    evaluations: Evaluations,
    labels: Sequence[str],
    markup: str,
    norm: str,
) -> None:
    """Show the errors of runs by an attribute that the visitor chooses. markup: its name."""
    asked = tuple((run, int(number)) for run, number in evaluations)
    bins = _bins(current.path, current.revision, asked, markup, norm)
    if not bins:
        st.info("These faces differ in no attribute that is known of them.", icon=":material/rule:")
        return
    by_title = {attribute.title: attribute for attribute in bins}
    attribute = by_title[widgets.select(key, "Split by", list(by_title), width=240)]
    means = _means(current.path, current.revision, asked, markup, norm, attribute.key)
    figure = chart(attribute, bins[attribute], means, labels, norm)
    st.caption(plain(figure.help))
    st.plotly_chart(
        figure.figure, key=key.name + "_chart", config=theme.CHART_CONFIG, alt=figure.alt
    )


@st.cache_data(max_entries=16, show_spinner=False)
def _bins(
    path: str, revision: int, evaluations: tuple[tuple[str, int], ...], markup: str, norm: str
) -> dict[Attribute, Bins]:
    # The runs' ids guard against a replaced file (see store.py).
    paired = store.paired_errors(StoreVersion(path, revision), evaluations, norm)
    if not len(paired.faces):
        return {}
    ids, truth, _ = store.predictions(path, evaluations[0][1])
    points = truth[np.searchsorted(ids, paired.faces)]
    visibility = store.visibilities(path, paired.faces)
    faces = slices.Faces(paired.names, store.markup(path, markup), points, visibility)
    return slices.bins_of(faces)


@st.cache_data(max_entries=64, show_spinner=False)
def _means(
    path: str,
    revision: int,
    evaluations: tuple[tuple[str, int], ...],
    markup: str,
    norm: str,
    attribute: str,
) -> list[list[Interval]]:
    errors = store.paired_errors(StoreVersion(path, revision), evaluations, norm)[norm]
    bins = _bins(path, revision, evaluations, markup, norm)
    return slices.means(errors, next(of for a, of in bins.items() if a.key == attribute))


def chart(
    attribute: Attribute,
    bins: Bins,
    means: Sequence[Sequence[Interval]],
    labels: Sequence[str],
    norm: str,
) -> Chart:
    """Return the mean error of every run in every bin, with its interval over the bin's faces."""
    figure = go.Figure(
        layout=theme.layout(x=attribute.title, y=f"NME, % of the {norm} distance", height=380)
    )
    ticks = [
        f"{in_chart(name)}<br>{n} faces" for name, n in zip(bins.labels, bins.counts, strict=True)
    ]
    said = []
    for number, (label, of_run) in enumerate(zip(labels, means, strict=True)):
        low, middle, high = (
            np.array([100 * getattr(one, end) for one in of_run])
            for end in ("low", "estimate", "high")
        )
        figure.add_scatter(
            x=ticks,
            y=middle.tolist(),
            name=in_chart(label),
            mode="markers",
            marker={
                "color": theme.LINES[number % len(theme.LINES)],
                "symbol": MARKERS[number % len(MARKERS)],
                "size": 10,
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - middle,
                "arrayminus": middle - low,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=np.stack([low, high], axis=1),
            hovertemplate="%{y:.2f} % [%{customdata[0]:.2f}, %{customdata[1]:.2f}]",
        )
        parts = zip(bins.labels, middle, strict=True)
        said.append(f"{label}: " + ", ".join(f"{name} {value:.2f} %" for name, value in parts))
    figure.update_layout(scattermode="group", scattergap=0.6, showlegend=len(labels) > 1)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=ticks, showgrid=False)
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    alt = f"Mean error by {attribute.title.lower()}; {'; '.join(said)}."
    help_text = f"{attribute.meaning} 95 % intervals over the faces of each bin (bootstrap)."
    return Chart(f"Error by {attribute.title.lower()}", figure, alt, help_text)
