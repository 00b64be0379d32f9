"""`drf train`: resolve the configuration, pack the faces, train, and write it all down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.output import note, print_json, tables
from db.file import DEFAULT_PATH

DEFAULT_PRESET = "cascade-forest"

Preset = Annotated[
    str | None, typer.Argument(metavar="PRESET", help="A named method; `drf train --list` has all.")
]


def train(
    preset: Preset = None,
    dataset: Annotated[str | None, typer.Option(help="300w or synthetic (default).")] = None,
    data_root: options.DataRoot = None,
    box: Annotated[str | None, typer.Option(help="Box protocol: gt, gt_jitter or file.")] = None,
    box_file: options.BoxFile = None,
    points: Annotated[str | None, typer.Option(help="Landmark subset, e.g. eyes.")] = None,
    track: Annotated[str | None, typer.Option(help="Rules to enter by: ten-minutes.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file over the preset.")] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="On the board; default: the preset's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    epochs: Annotated[int | None, typer.Option(help="0: as many as the minutes hold.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="End in order at this budget.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Same seed and machine, same digits.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(metavar="RUN", help="Start from the backbone of another run.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was interrupted.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the presets and end.")] = False,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Train a method; the best epoch by validation NME is kept."""
    if show_list:
        _list_presets(as_json)
        return
    from experiments.paths import Paths
    from experiments.request import Request
    from experiments.train import refuse_with_resume, resume_training, train_new_run

    named: dict[str, object] = {
        "data.dataset": dataset,
        "data.box": box,
        "data.landmarks": points,
        "training.seed": seed,
        "training.epochs": epochs,
        "training.max_minutes": max_minutes,
        "training.device": device,
        "training.precision": precision,
        "training.deterministic": deterministic,
        "training.init_from": init_from,
    }
    given = {key: value for key, value in named.items() if value is not None}
    places = Paths(db, data_root, box_file, cache)
    if resume is not None:
        refuse_with_resume([preset, track, config, assign, name], given)
        result = resume_training(resume, given, places)
    else:
        words = tuple(assign or ())
        request = Request(preset or DEFAULT_PRESET, config, track, words, given)
        result = train_new_run(request, places, name)
    if as_json:
        print_json(result.document())
    note(result.sentence())
    raise typer.Exit(result.exit_code())


def _list_presets(as_json: bool) -> None:
    from drf import presets

    known = [presets.load(name) for name in presets.names()]
    if as_json:
        print_json([{"name": p.name, "family": p.family, "summary": p.summary} for p in known])
        return
    from rich.table import Table

    table = Table("preset", "family", "summary")
    for preset in known:
        table.add_row(preset.name, preset.family, preset.summary)
    tables().print(table)
