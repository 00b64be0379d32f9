"""The rows of the contest, as data, and the request for a run of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.contest.settings import Budget
from drf import presets, registry
from drf.config import nearest
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from experiments.request import Request, configure

TRACK, TRACK_MINUTES = "ten-minutes", 10.0

Kind = Literal["preset", "ert"]


@dataclass(frozen=True)
class Row:
    """One row of the table: a method, and how it is trained.

    name         of its runs in the store, and by which --rows asks for it
    label        in the table
    kind         how it is trained: a preset by `drf train`, or ERT by dlib
    seeds        how many; three where rows are compared
    overrides    words KEY=VALUE for --set
    equal_macs   preset whose multiply-accumulates this one is to have: its model.width follows
    minutes      of training, None for those of the contest
    threads      of training, None for those of the contest; two where members learn side by side
    on_request   left out unless asked for
    """

    name: str
    label: str
    kind: Kind = "preset"
    preset: str = ""
    seeds: int = 1
    overrides: tuple[str, ...] = field(default=())
    equal_macs: str | None = None
    minutes: float | None = None
    threads: int | None = None
    on_request: bool = False

    def presets(self) -> tuple[str, ...]:
        """Return the presets that this row needs."""
        return tuple(name for name in (self.preset, self.equal_macs) if name)


ROWS = (
    Row("mean-shape", "mean shape", preset="mean-shape"),
    Row("ert", "ERT (dlib)", kind="ert"),
    Row("hourglass", "direct hourglass, equal time", preset="hourglass", seeds=3),
    Row(
        "hourglass-equal-macs",
        "direct hourglass, equal MACs",
        preset="hourglass",
        equal_macs="cascade-forest",
    ),
    Row("heatmap-forest", "heatmap forest", preset="heatmap-forest"),
    Row("gaussian-forest", "Gaussian forest", preset="gaussian-forest"),
    Row("whole-image", "historical: whole-image leaves", preset="historical/whole-image"),
    Row("shared-2048", "historical: 2048 shared leaves", preset="historical/shared-2048"),
    Row("single-map", "historical: all landmarks in one map", preset="heatmap-forest-single-map"),
    Row("cascade-forest", "cascade forest", preset="cascade-forest", seeds=3),
    Row("cascade-forest-small", "cascade forest, small", preset="cascade-forest-small"),
    Row(
        "cascade-forest-nano",
        "cascade forest, nano",
        preset="cascade-forest-nano",
        on_request=True,
    ),
    Row(
        "cascade-forest-pair",
        "two cascade forests, a thread each",
        preset="cascade-forest-pair",
        seeds=3,
        threads=2,
    ),
    Row(
        "cascade-forest-aligned",
        "two, the second sees the face aligned",
        preset="cascade-forest-aligned",
        seeds=3,
        threads=2,
    ),
    Row("cascade-mlp", "control: MLPs for forests", preset="cascade-mlp", seeds=3),
    Row(
        "cascade-forest-large",
        "four cascade forests, 60 minutes",
        preset="cascade-forest-large",
        minutes=60.0,
        on_request=True,
    ),
    Row(
        "cascade-forest-pretrained",
        "encoder of a face detector, 30 minutes",
        preset="cascade-forest-pretrained",
        minutes=30.0,
        on_request=True,
    ),
    Row("cnn-heatmap", "plain CNN", preset="cnn-heatmap", on_request=True),
    Row("all-68", "historical: pools of trees", preset="historical/all-68", on_request=True),
    Row("groups", "historical: leaves for groups", preset="historical/groups", on_request=True),
    *(
        Row(
            f"gaussian-{schedule}",
            f"historical: Gaussian leaves, {schedule}",
            preset=f"historical/gaussian-{schedule}",
            on_request=True,
        )
        for schedule in ("joint", "alternating", "sequential")
    ),
)

REFERENCES = ("hourglass", "ert", "cascade-mlp")
"""What every other row is compared with, face by face."""


def chosen(names: Sequence[str] | None, everything: bool = False) -> list[Row]:
    """Return the rows by name; without names those that are not on request, or all of them.

    Raises UsageError for an unknown name, and for a row whose preset does not exist.
    """
    known = {row.name: row for row in ROWS}
    for name in names or ():
        if name not in known:
            raise UsageError(f"there is no row {name!r}{nearest(name, known)}")
    rows = (
        [known[n] for n in names] if names else [r for r in ROWS if everything or not r.on_request]
    )
    missing = {row.name: p for row in rows for p in row.presets() if p not in presets.names()}
    if missing:
        listed = ", ".join(f"{name} (preset {preset})" for name, preset in missing.items())
        raise UsageError(f"rows without their presets: {listed}; name the others with --rows")
    return rows


def n_threads(row: Row, budget: Budget) -> int:
    """Return the number of threads with which a row is trained."""
    return row.threads or budget.threads


def request(row: Row, seed: int, budget: Budget) -> Request:
    """Return what a row's run is asked for; the track where its rules are kept."""
    minutes = row.minutes or budget.minutes
    options: dict[str, object] = {"training.seed": seed}
    on_track = budget.dataset == "300w" and minutes == TRACK_MINUTES and not budget.epochs
    if not on_track:
        options |= {"data.dataset": budget.dataset, "training.epochs": budget.epochs}
        options["training.max_minutes"] = 0.0 if budget.epochs else minutes
    assigned = (*row.overrides, *budget.settings)
    if row.equal_macs:
        assigned += equal_width(row, budget.settings)
    track = TRACK if on_track else None
    return Request(row.preset, track=track, assignments=assigned, options=options)


def equal_width(row: Row, settings: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return the words that give a row's model the MACs of its `equal_macs`, as near as widths of
    whole multiples of 4 allow; the growth stays half the width, as in the hourglass preset."""
    target = _macs(row.equal_macs or "", settings)
    widths = range(8, 257, 4)
    low, high = 0, len(widths) - 1
    while low < high:  # the MACs grow with the width
        middle = (low + high) // 2
        if _macs(row.preset, (*settings, *_sized(widths[middle]))) < target:
            low = middle + 1
        else:
            high = middle
    near = widths[max(0, low - 1) : low + 1]
    best = min(near, key=lambda w: abs(_macs(row.preset, (*settings, *_sized(w))) - target))
    return _sized(best)


def _sized(width: int) -> tuple[str, str]:
    return f"model.width={width}", f"model.growth={width // 2}"


def _macs(preset: str, settings: tuple[str, ...]) -> int:
    asked = Request(preset, assignments=settings)
    return registry.count_macs(registry.build(configure(asked).config, IBUG68))
