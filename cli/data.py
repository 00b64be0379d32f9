"""`drf data`: look over a 300-W folder, and pack faces ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.output import cell, note, print_json, tables
from drf.errors import CheckFailed
from experiments.progress import bar

if TYPE_CHECKING:
    from drf.data.check import Report, SubsetReport

app = typer.Typer(no_args_is_help=True)

_EXAMPLES = 5
"""Faults of a kind that the table's footnotes name; --json has them all."""

_HEADINGS = (
    "faces",
    "missing",
    "bad picture",
    "bad .pts",
    "points outside",
    "copied from train",
    "photo in train",
    "smallest box",
)


@app.command()
def check(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder of 300-W.")],
    as_json: options.Json = False,
) -> None:
    """Read every face of a 300-W folder and report per subset. Exit 4 if something is wrong.

    Counted are missing files, pictures that cannot be decoded, malformed .pts files, faces with
    points outside their picture, faces whose very file or whose photo is in training too; the
    smallest box is in px. A folder that is simply not there is no fault, nor are points outside a
    picture (real sets hold some) and one photo in two versions (LFPW holds some).
    """
    from drf.data.check import check_dataset

    with bar("checking") as advance:
        report = check_dataset(root, advance)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    if faulty := [subset.subset for subset in report.subsets if subset.n_faults]:
        hint = "" if as_json else "; --json names every face"
        raise CheckFailed(f"{root} has faults in {', '.join(faulty)}{hint}")


@app.command()
def pack(
    dataset: Annotated[str, typer.Option(help="300w or synthetic.")] = "synthetic",
    data_root: options.DataRoot = None,
    subset: Annotated[
        list[str] | None, typer.Option(help="May be given several times; default train and val.")
    ] = None,
    box: Annotated[str, typer.Option(help="Box protocol: gt, gt_jitter or file.")] = "gt",
    box_file: options.BoxFile = None,
    limit: Annotated[int | None, typer.Option(help="Only so many faces of each subset.")] = None,
    size: Annotated[int | None, typer.Option(help="Faces in the synthetic train.")] = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic faces.")] = 0,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Pack subsets into the cache now rather than when they are first used."""
    from drf.data import packs as packs
    from drf.data.sources import open_dataset

    source = open_dataset(dataset, data_root, seed=seed, size=size)
    manifests = []
    for name in subset or ["train", "val"]:
        with bar(f"packing {name}") as advance:
            packed = packs.pack(
                source, name, box, cache, box_file=box_file, limit=limit, progress=advance
            )
        manifests.append(packed.manifest)
    if as_json:
        print_json(manifests)
        return
    for manifest in manifests:
        note(
            f"{manifest['dataset']} {manifest['subset']}, box {manifest['box']}: "
            f"{manifest['faces']} faces in {cache or packs.default_cache_dir()}"
        )


def _print(report: Report) -> None:
    from rich.table import Table

    table = Table(title=f"300-W in {report.root}", title_justify="left")
    table.add_column("subset")
    table.add_column("state")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for found in report.subsets:
        counts = (found.missing, found.unreadable, found.malformed, found.outside)
        twice = (found.copies, found.same_photo)
        table.add_row(
            found.subset,
            found.state,
            *map(cell, (found.faces, *map(len, counts), *map(len, twice))),
            cell(found.smallest_box_px, digits=0),
        )
    console = tables()
    console.print(table)
    if absent := dict.fromkeys(folder for found in report.subsets for folder in found.absent):
        console.print(f"not there: {', '.join(absent)}", markup=False)
    for found in report.subsets:
        for line in _footnotes(found):
            console.print(line, markup=False)


def _footnotes(found: SubsetReport) -> list[str]:
    """Return the first faults of each kind, by name."""
    lines = []
    reasons = {**found.unreadable, **found.malformed}
    faults = [
        found.missing,
        [f"{name}: {reason}" for name, reason in reasons.items()],
        [f"{pair.name} is the same file as {pair.other}" for pair in found.copies],
    ]
    for kind in faults:
        lines += [f"{found.subset}: {fault}" for fault in kind[:_EXAMPLES]]
        if len(kind) > _EXAMPLES:
            lines.append(f"{found.subset}: and {len(kind) - _EXAMPLES} more like this")
    return lines
