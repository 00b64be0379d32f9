"""The contest as text: Markdown, so that a terminal and a page show the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabulate import tabulate

from drf.text import count

Entry = dict[str, Any]


def scores(rows: Sequence[Entry]) -> str:
    """Return the table of scores and costs."""
    columns: tuple[tuple[str, Callable[[Entry], str]], ...] = (
        ("row", lambda r: r["label"]),
        ("seeds", lambda r: str(len(r["seeds"]))),
        ("NME ocular", lambda r: _mean_sd(r["ocular_nme"])),
        ("FR@8", lambda r: _mean_sd(r["ocular_fr8"], 1)),
        ("AUC@8", lambda r: _mean_sd(r["ocular_auc8"], 1)),
        ("NME pupil", lambda r: _mean_sd(r["pupil_nme"])),
        ("one pass", lambda r: _mean_sd(r["single_pass_nme"])),
        ("gt_jitter", lambda r: _mean_sd(r["jitter_nme"])),
        ("val", lambda r: _mean_sd(r["val_nme"])),
        ("AURC", lambda r: _number((r["uncertainty"] or {}).get("aurc"), 2)),
        ("in 95 % ellipse", lambda r: _number((r["uncertainty"] or {}).get("inside_95"), 0)),
        ("params", lambda r: count(r["params"]) if r["params"] else "–"),
        ("MB", lambda r: _number(r["weights_mb"], 1)),
        ("MACs", lambda r: count(r["macs"]) if r["macs"] else "–"),
        ("threads", lambda r: str(r["threads"])),
        ("train min", lambda r: _number(r["training_minutes"], 1)),
        ("model ms p50 / p95", lambda r: _times(r, "model")),
        ("with crop p50 / p95", lambda r: _times(r, "whole")),
        ("faces/s, batch 32", lambda r: _number(r["latency"]["batch_faces_per_s"], 0)),
    )
    lines = [[cell(row) for _, cell in columns] for row in rows]
    return _markdown([title for title, _ in columns], lines)


def differences(rows: Sequence[Entry]) -> str:
    """Return the table of paired differences, in points of NME; bold: the interval excludes 0."""
    lines = [
        [row["label"], other, *map(_interval, of.values()), of["ocular"]["over"]]
        for row in rows
        for other, of in row["versus"].items()
    ]
    titles = ["row", "minus", "NME ocular", "NME pupil", "rise under gt_jitter", "95 % over"]
    return _markdown(titles, lines) if lines else ""


def _markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return tabulate(lines, titles, tablefmt="github", disable_numparse=True)


def _mean_sd(seeds: dict[str, float | None], digits: int = 2) -> str:
    mean = f"{seeds['mean']:.{digits}f}"
    return mean if seeds["sd"] is None else f"{mean} ± {seeds['sd']:.{digits}f}"


def _interval(d: dict[str, Any]) -> str:
    text = f"{d['estimate']:+.2f} [{d['low']:+.2f}, {d['high']:+.2f}]"
    return f"**{text}**" if d["excludes_0"] else text


def _times(row: Entry, part: str) -> str:
    latency = row["latency"]
    return f"{latency[f'{part}_ms_p50']:.2f} / {latency[f'{part}_ms_p95']:.2f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
