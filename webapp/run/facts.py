"""Facts of a run as text: cost, provenance, training data, and the card of its method; for the app
and the export."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from db.analysis import comparability
from db.recording.latencies import Latency
from drf import presets
from drf.errors import UsageError
from drf.presets import Preset
from webapp.ui.text import as_written, count, duration, percent

DIFF = "git_diff"
"""Key of the uncommitted changes in the provenance."""

_ELSEWHERE = ("command", DIFF)  # keys of the provenance that are shown separately


def summary(run: dict[str, Any], measured: Sequence[Latency]) -> dict[str, Any]:
    """Return title -> fact of a run (of `reads.run`) and its cost; None where unknown. measured:
    its latencies."""
    made, speed, best = run["provenance"], run["faces_per_s"], run["kept_val_nme"]
    before = run["started_from"]
    return {
        "Family": run["family"],
        "Preset": run["preset"],
        "Dataset": run["dataset"],
        "Trained on": run["trained_on"],
        "Started from": None if before is None else f"run {before[:8]}",
        "Landmarks": run["landmarks"],
        "Track": run["track"],
        "Seed": run["seed"],
        "Device": made.get("device"),
        "Precision": made.get("precision"),
        **{one.title: _count(run[one.key]) for one in comparability.SPENT},
        "Hardware": run["hardware"],
        "Training time": duration(run["wall_s"]),
        "Speed": None if speed is None else f"{speed:.0f} faces/s",
        "Parameters": count(run["params"]),
        "MACs": count(run["macs"]),
        "Milliseconds, 1 face, 1 thread": "; ".join(map(_latency, measured)) or None,
        "Kept epoch": run["kept_epoch"],
        "Validation NME (kept)": None if best is None else percent(100 * best),
    }


def _count(number: float | None) -> str | None:
    return None if number is None else f"{number:.0f}"


def provenance(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return code, versions and hardware of a run as (key, value), nested keys joined by dots."""
    listed = {key: value for key, value in run["provenance"].items() if key not in _ELSEWHERE}
    return [*_flat(listed), ("run", run["id"])]


def training_data(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the manifest of the faces it was trained on as (key, value)."""
    return list(_flat(run["manifest"]))


def _latency(one: Latency) -> str:
    """Return what `drf bench` measured of a run, and on which hardware."""
    return f"p50 {one.p50_ms:.2f}, p90 {one.p90_ms:.2f} on {one.hardware}"


def throughput(evaluation: Mapping[Any, Any]) -> str:
    """Return what one evaluation (a row of `reads.evaluations`) measured of its speed, and where.

    It tells of the machine, of what else it did and of the batches, so it ranks nothing. Nothing
    was measured of predictions that were imported, or are the mean of other runs'.
    """
    if pd.isna(evaluation["ms_per_face"]):
        return "not measured: no model was run for these predictions"
    machine = evaluation["machine"]
    where = f"on {machine}" if isinstance(machine, str) else "on a machine that is not recorded"
    return f"{evaluation['ms_per_face']:.1f} ms/face, {where}"


THROUGHPUT = "Throughput during this evaluation"
"""Title of `throughput`."""


@dataclass(frozen=True)
class Fact:
    """A line of a card: a title and its text; url: where the text leads."""

    title: str
    text: str
    url: str | None = None


@functools.cache
def preset(name: Hashable) -> Preset | None:
    """Return a preset of this version by the name that a run has, None where there is none."""
    try:
        return presets.load(name) if isinstance(name, str) else None
    except UsageError:
        return None


def card(preset: Preset, params: float | None = None, macs: float | None = None) -> list[Fact]:
    """Return the lines of a card, for the app and the export. params, macs: of a run, where one is
    looked at."""
    found = [Fact("What it is", preset.description)] if preset.description else []
    if not (params is None or pd.isna(params) or macs is None or pd.isna(macs)):
        cost = f"{count(params)} parameters, {count(macs)} multiply-accumulates for one face"
        found.append(Fact("Size", cost))
    if preset.weakness:
        found.append(Fact("Known weakness", preset.weakness))
    if preset.paper:
        found.append(Fact("Paper", preset.paper, preset.paper_url))
    keys = ", ".join(preset.settings()) or "none"
    found.append(Fact("Keys that differ from the defaults", keys))
    return found


def _flat(held: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in held.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, as_written(value)
