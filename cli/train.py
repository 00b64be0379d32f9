"""`drf train`: train a method and record the run; list presets and configuration keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import note, print_json, table, tables
from db.file import DEFAULT_PATH
from drf.errors import UsageError
from drf.files import user_path

if TYPE_CHECKING:
    from drf.config import KeyInfo
    from experiments.paths import Paths
    from experiments.request import Request

DEFAULT_PRESET = "cascade-forest"

Preset = Annotated[
    str | None,
    typer.Argument(
        metavar="PRESET",
        show_default=DEFAULT_PRESET,
        help="Preset to train; `drf train --list` lists them.",
    ),
]


def train(
    preset: Preset = None,
    dataset: Annotated[str | None, options.of_key("data.dataset", metavar="NAME")] = None,
    data_root: options.DataRoot = None,
    box: Annotated[str | None, options.of_key("data.box")] = None,
    box_file: options.BoxFile = None,
    box_name: options.BoxName = None,
    landmarks: Annotated[str | None, options.of_key("data.landmarks", metavar="NAME")] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Competition track (fixes budget and data), e.g. ten-minutes."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            help="TOML file whose configuration keys override the preset.",
        ),
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a configuration key; `drf train --keys` lists them. Repeat for several.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="the preset's name", help="Name shown on the leaderboard."
        ),
    ] = None,
    said: Annotated[
        str | None,
        typer.Option(
            "--note", metavar="TEXT", help="Note on the run; `drf runs note` changes it later."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="Tag of the run, e.g. for-paper; `drf runs tag` changes it later. Repeat for"
            " several.",
        ),
    ] = None,
    seed: Annotated[int | None, options.of_key("training.seed")] = None,
    epochs: Annotated[int | None, options.of_key("training.epochs")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes.")] = None,
    device: Annotated[str | None, options.of_key("training.device")] = None,
    precision: Annotated[str | None, options.of_key("training.precision")] = None,
    deterministic: Annotated[
        bool | None, options.of_key("training.deterministic", "--deterministic")
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Start from the weights of another run."),
    ] = None,
    init_weights: Annotated[str | None, options.of_key("training.init_weights")] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Continue an interrupted run from its last checkpoint."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print parameters, MACs, memory and minutes, from a few steps, and exit.",
        ),
    ] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the presets and exit.")] = False,
    show_keys: Annotated[
        bool,
        typer.Option("--keys", help="List the configuration keys with their values and exit."),
    ] = False,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Train a method and keep the epoch with the lowest validation NME.

    A setting that no option names keeps the value that the preset gives it.
    """
    if show_list:
        _list_presets(as_json)
        return
    from experiments.request import Request

    named: dict[str, object] = {
        "data.dataset": dataset,
        "data.box": box,
        "data.landmarks": landmarks,
        "training.seed": seed,
        "training.epochs": epochs,
        "training.max_minutes": max_minutes,
        "training.device": device,
        "training.precision": precision,
        "training.deterministic": deterministic,
        "training.init_from": init_from,
        "training.init_weights": init_weights,
    }
    given = {key: value for key, value in named.items() if value is not None}
    request = Request(preset or DEFAULT_PRESET, config, track, tuple(assign or ()), given)
    if show_keys:
        _list_keys(request, as_json)
        return
    from db.recording.words import FirstWords, checked_name
    from experiments.paths import Paths
    from experiments.train import resume_training, train_new_run

    paths = Paths(db, data_root, box_file, cache, box_name)
    first = FirstWords(said, tuple(tags or ()))
    if dry_run:
        if resume is not None:
            raise UsageError("--dry-run and --resume exclude each other")
        if name is not None:
            checked_name(name)
        first.checked()
        _rehearse(request, paths, as_json)
        return
    if resume is not None:
        _refuse_with_resume([preset, track, config, assign, name, said, tags], given)
        result = resume_training(resume, given, paths)
    else:
        result = train_new_run(request, paths, name, first)
    if as_json and result.run:
        print_json(result.document())
    if result.run:
        note(result.sentence(db))
    raise typer.Exit(result.exit_code())


def _refuse_with_resume(others: Sequence[object], changes: Mapping[str, object]) -> None:
    """Raise UsageError where --resume stands beside what would make it another run."""
    from drf.checkpoint import RESUMABLE
    from experiments.train import DEVICE

    if any(others) or changes.keys() - {*RESUMABLE, DEVICE}:
        raise UsageError(
            "a resumed run keeps its configuration: beside --resume only --epochs, --max-minutes,"
            " --device, --data-root, --box-file, --box-name, --cache, --db and --json may stand"
        )


def _rehearse(request: Request, paths: Paths, as_json: bool) -> None:
    from dataclasses import asdict

    from drf.text import count
    from experiments.train import rehearse

    found = rehearse(request, paths)
    if as_json:
        print_json(asdict(found))
        return
    rows = [
        ("parameters", count(found.params)),
        ("MACs for a face", count(found.macs)),
        ("memory", f"{found.memory / 2**30:.2f} GiB"),
        ("time of a step", f"{1000 * found.seconds_per_step:.0f} ms"),
        ("minutes", f"{found.minutes:.1f}"),
    ]
    tables().print(table(("measure", "value"), rows, f"{request.preset} on {found.device}"))


def _list_presets(as_json: bool) -> None:
    from drf import presets

    known = [presets.load(name) for name in presets.names()]
    if as_json:
        print_json([{"name": p.name, "family": p.family, "summary": p.summary} for p in known])
        return
    rows = [(preset.name, preset.family, preset.summary) for preset in known]
    tables().print(table(("preset", "family", "summary"), rows))


def _list_keys(request: Request, as_json: bool) -> None:
    """Print every key of the family, with the value that the request gives it."""
    from drf.config import describe_keys, sections_of, shown
    from experiments.request import configure

    resolved = configure(request)
    values = resolved.config.flat()
    known = describe_keys(sections_of(type(resolved.config.model)))
    if as_json:
        print_json([_key_as_json(k, values[k.name], resolved.sources[k.name]) for k in known])
        return
    rows = [
        (k.name, k.values, shown(values[k.name]), resolved.sources[k.name], k.sentence)
        for k in known
    ]
    title = f"configuration of {request.preset} (family {resolved.config.family})"
    tables().print(table(("key", "values", "value", "set by", "meaning"), rows, title))


def _key_as_json(key: KeyInfo, value: object, source: str) -> dict[str, Any]:
    """Return what --json prints of a key; bounds and choices are null where it has none."""
    return {
        "key": key.name,
        "type": key.type.__name__,
        "range": [key.range.low, key.range.high] if key.range else None,
        "choices": list(key.choices) or None,
        "default": key.default,
        "value": value,
        "source": source,
        "meaning": key.sentence,
    }
