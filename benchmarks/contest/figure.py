"""The figure of the contest: error against latency, a small SVG that follows light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 840, 460
LEFT, RIGHT, TOP, BOTTOM = 62, 250, 46, 52
GAP = 17
"""Least distance of two labels, px."""

# Okabe-Ito; circles and squares: never colour alone.
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 12px; fill: #59636e } .title { font-weight: 600; font-size: 15px }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .leader { stroke: #9198a1; stroke-width: 1 }
  .forest { fill: #0072B2; stroke: #0072B2 } .rival { fill: #D55E00; stroke: #D55E00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #30363d }
    .forest { fill: #56B4E9; stroke: #56B4E9 } .rival { fill: #E69F00; stroke: #E69F00 }
  }
"""


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from a value range to pixels."""

    low: float
    high: float
    first_px: float
    last_px: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.first_px + share * (self.last_px - self.first_px)

    def ticks(self) -> list[float]:
        """Return the numbers 1, 1.5, 2, 2.5, 3, 4, 5, 7 times a power of ten that lie inside; where
        that are fewer than three, the multiples of a power of ten."""
        steps = (1, 1.5, 2, 2.5, 3, 4, 5, 7)
        values = [s * 10**p for p in range(-4, 5) for s in steps]
        inside = [v for v in values if self.low <= v <= self.high]
        if len(inside) > 2:
            return inside
        power = math.floor(math.log10((self.high - self.low) / 2))
        first, last = math.ceil(self.low / 10**power), math.floor(self.high / 10**power)
        return [round(i * 10**power, max(0, -power)) for i in range(first, last + 1)]


def figure(document: dict[str, Any]) -> str:
    """Return the SVG: NME (ocular, percent) against milliseconds from picture to landmarks.

    document: what benchmarks/contest.py --json prints. The mean shape, which learns nothing and
    looks at nothing, is left out.
    """
    rows = [row for row in document["rows"] if row["params"]]
    nme = [row["ocular_nme"]["mean"] for row in rows]
    ms = [row["latency"]["whole_ms_p50"] for row in rows]
    x = Axis(min(ms) / 1.4, max(ms) * 1.4, LEFT, WIDTH - RIGHT)
    y = Axis(min(nme) / 1.06, max(nme) * 1.06, HEIGHT - BOTTOM, TOP)
    title = f"{document['dataset']} {document['subset']}, box gt, {document['minutes']:g} minutes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(_description(rows))}</title><style>{_STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
        *_grid(x, y),
        *(_mark(row, x, y) for row in rows),
        *_labels(rows, x, y),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(x: Axis, y: Axis) -> list[str]:
    lines = []
    for v in y.ticks():
        lines.append(_line(x.first_px, y(v), x.last_px, y(v), "grid"))
        lines.append(_text(x.first_px - 8, y(v) + 4, f"{v:g}", "small", "end"))
    for v in x.ticks():
        lines.append(_line(x(v), y.first_px, x(v), y.last_px, "grid"))
        lines.append(_text(x(v), y.first_px + 18, f"{v:g}", "small", "middle"))
    middle = (x.first_px + x.last_px) / 2
    lines.append(
        _text(middle, HEIGHT - 12, "ms a face, one thread, with the crop", "small", "middle")
    )
    lines.append(_text(LEFT - 52, TOP - 8, "NME, % of the ocular distance", "small", "start"))
    return lines


def _mark(row: dict[str, Any], x: Axis, y: Axis) -> str:
    kind, px = _kind(row), x(row["latency"]["whole_ms_p50"])
    mean, sd = row["ocular_nme"]["mean"], row["ocular_nme"]["sd"] or 0.0
    bar = _line(px, y(max(mean - sd, y.low)), px, y(mean + sd), kind)
    if kind == "forest":
        return bar + f'<circle class="forest" cx="{px:.1f}" cy="{y(mean):.1f}" r="5"/>'
    return (
        bar + f'<rect class="rival" x="{px - 5:.1f}" y="{y(mean) - 5:.1f}" width="10" height="10"/>'
    )


def _labels(rows: Sequence[dict[str, Any]], x: Axis, y: Axis) -> list[str]:
    """Return the names in a column at the right, in the order of the marks, with leaders."""
    ordered = sorted(rows, key=lambda row: y(row["ocular_nme"]["mean"]))
    wanted = [y(row["ocular_nme"]["mean"]) for row in ordered]
    column = x.last_px + 14
    lines = []
    for row, at, place in zip(ordered, wanted, spread(wanted, GAP), strict=True):
        px = x(row["latency"]["whole_ms_p50"])
        lines.append(_line(px + 7, at, column - 4, place, "leader"))
        text = f"{row['label']} {row['ocular_nme']['mean']:.2f}"
        lines.append(_text(column, place + 4, text, "small", "start"))
    return lines


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places at least `gap` apart, as near to the ascending wanted ones as a push down and
    a push back up bring them, the last no lower than the axis."""
    places: list[float] = []
    for at in wanted:
        places.append(max(at, places[-1] + gap) if places else at)
    limit = HEIGHT - BOTTOM
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places


def _kind(row: dict[str, Any]) -> str:
    """The control is of the cascade's family, without its forests."""
    control = "mlp" in (row["preset"] or "")
    forest = "forest" in row["family"] or "forest" in (row["preset"] or "")
    return "forest" if forest and not control else "rival"


def _description(rows: Sequence[dict[str, Any]]) -> str:
    said = (
        f"{row['label']}: {row['ocular_nme']['mean']:.2f} % at"
        f" {row['latency']['whole_ms_p50']:.1f} ms"
        for row in rows
    )
    return "Error against latency. " + "; ".join(said)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
