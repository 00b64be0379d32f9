"""Do the ellipses of a model hold what they promise? A chart by region of the face."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from drf.scoring.ellipses import RegionEllipses
from drf.scoring.uncertainty import LEVEL
from webapp.ui import charts, theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart, readable

_LOWEST = 90.0
"""Percent at which the axis begins, or where the lowest interval does."""


def chart(found: Mapping[str, RegionEllipses], norm: str) -> Chart:
    """Return the share of true places within their ellipses by region, with intervals over faces;
    the radii of the ellipses by a normaliser (key) stand with the names."""
    inside, low, high = (
        [100 * value for value in values]
        for values in zip(
            *((of.inside.estimate, of.inside.low, of.inside.high) for of in found.values()),
            strict=True,
        )
    )
    figure = go.Figure(
        go.Scatter(
            x=inside,
            y=list(found),
            mode="markers",
            marker={"color": theme.BLUE, "size": 10},
            error_x={
                "type": "data",
                "array": [end - x for end, x in zip(high, inside, strict=True)],
                "arrayminus": [x - end for end, x in zip(low, inside, strict=True)],
                "color": theme.BLUE,
                "thickness": 1.5,
            },
            customdata=list(zip(low, high, strict=True)),
            hovertemplate="%{y}: %{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]"
            "<extra></extra>",
        ),
        theme.layout(x="true places within their ellipse, %", y=""),
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", range=[min(_LOWEST, *low) - 0.5, 100.5])
    sizes = {region: 100 * of.radius[norm] for region, of in found.items() if norm in of.radius}
    names = [
        in_chart(readable(region)) + (f"  <b>r {sizes[region]:.1f}</b>" if region in sizes else "")
        for region in found
    ]
    figure.update_yaxes(showgrid=False, autorange="reversed", tickvals=list(found), ticktext=names)
    charts.rule(figure, 100 * LEVEL, theme.VERMILLION)
    said = "; ".join(
        f"{region} {100 * of.inside.estimate:.1f} %"
        + (f", radius {sizes[region]:.2f} %" if region in sizes else "")
        for region, of in found.items()
    )
    help_text = (
        f"Ellipses of {100 * LEVEL:g} % should contain {100 * LEVEL:g} % of the true places in"
        " every region: left of the line they are too small, right of it too large. Bars: 95 %"
        f" intervals over faces. r: mean radius of circles of the same area, % of the {norm}"
        " distance."
    )
    return Chart(
        f"{100 * LEVEL:g} % ellipses by region",
        figure,
        f"Share of true places within their {100 * LEVEL:g} % ellipses: {said}.",
        help_text,
    )
