"""`drf data`: check a folder of 300-W, and pack face crops ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.output import cell, line, note, print_json, table, tables
from drf.config import DataConfig
from drf.errors import CheckFailed
from drf.files import user_path
from experiments.progress import bar

if TYPE_CHECKING:
    from drf.data.check import Report, SubsetReport

app = typer.Typer(no_args_is_help=True)

_EXAMPLES = 5
"""Number of faults of each kind that are listed below the table; --json has all of them."""

_HEADINGS = (
    "faces",
    "missing",
    "bad picture",
    "bad .pts",
    "odd landmarks",
    "landmarks missing",
    "landmarks outside",
    "copied from train",
    "photo in train",
    "smallest box",
)


@app.command()
def check(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", parser=user_path, help="Folder of 300-W.")
    ],
    as_json: options.Json = False,
) -> None:
    """Read every face of a 300-W folder and report the faults of each subset.

    The report counts missing files, pictures that cannot be decoded, malformed .pts files, faces
    whose landmarks do not form a face as they stand (mirrored, x and y exchanged, in another order,
    in 0..1), faces with missing landmarks or with landmarks outside their picture, and faces whose
    file or photo is in the training set too; the smallest box is in pixels. Four things are not
    faults: an absent folder, missing landmarks, landmarks outside a picture (300-W has some), and
    one photo in two versions (LFPW has some). Exits with 4 if there is a fault.
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


@app.command(context_settings=options.old_names("data pack"))
def pack(
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Dataset to pack.")] = "synthetic",
    data_root: options.DataRoot = None,
    subset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="train and val",
            help="Subset to pack; repeat the option for several.",
        ),
    ] = None,
    box: Annotated[
        str,
        typer.Option(metavar=options.choices("data.box"), help="Box protocol of the face crops."),
    ] = "gt",
    box_file: options.BoxFile = None,
    max_faces: Annotated[
        int | None,
        typer.Option(show_default="all", help="Pack at most this many faces of each subset."),
    ] = None,
    synthetic_train_size: Annotated[
        int, options.of_key("data.synthetic_train_size")
    ] = DataConfig.synthetic_train_size,
    synthetic_seed: Annotated[
        int, options.of_key("data.synthetic_seed")
    ] = DataConfig.synthetic_seed,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Crop the faces of subsets into the cache now, instead of when they are first used."""
    from drf.data import packs
    from drf.data.sources import open_dataset

    source = open_dataset(dataset, data_root, seed=synthetic_seed, size=synthetic_train_size)
    manifests = []
    for name in subset or ["train", "val"]:
        with bar(f"packing {name}") as advance:
            packed = packs.pack(
                source, name, box, cache, box_file=box_file, limit=max_faces, progress=advance
            )
        manifests.append(packed.manifest)
    if as_json:
        print_json(manifests)
        return
    for manifest in manifests:
        note(
            f"Packed {manifest['dataset']} {manifest['subset']}, box {manifest['box']}: "
            f"{manifest['faces']} faces in {cache or packs.default_cache_dir()}"
        )


def _print(report: Report) -> None:
    rows = []
    for found in report.subsets:
        faults = (found.missing, found.unreadable, found.malformed, found.odd_labels)
        counts = (*faults, found.incomplete, found.outside)
        twice = (found.copies, found.same_photo)
        numbers = (found.faces, *map(len, counts), *map(len, twice))
        rows.append((found.subset, found.state, *numbers, cell(found.smallest_box_px, digits=0)))
    shown = table(("subset", "state", *_HEADINGS), rows, f"300-W in {report.root}")
    for column in shown.columns[2:]:
        column.justify = "right"
    tables().print(shown)
    if absent := dict.fromkeys(folder for found in report.subsets for folder in found.absent):
        line(f"folders not found: {', '.join(absent)}")
    for found in report.subsets:
        for footnote in _footnotes(found):
            line(footnote)


def _footnotes(found: SubsetReport) -> list[str]:
    """Return lines that name the first faults of each kind."""
    lines = []
    faults = [
        found.missing,
        *(
            [f"{name}: {reason}" for name, reason in reasons.items()]
            for reasons in (found.unreadable | found.malformed, found.odd_labels)
        ),
        [f"{pair.name} is the same file as {pair.other}" for pair in found.copies],
    ]
    for kind in faults:
        lines += [f"{found.subset}: {fault}" for fault in kind[:_EXAMPLES]]
        if len(kind) > _EXAMPLES:
            lines.append(f"{found.subset}: and {len(kind) - _EXAMPLES} more of this kind")
    return lines
