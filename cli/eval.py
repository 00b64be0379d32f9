"""`drf eval`: evaluate a run's best checkpoint and put the result on the board."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.output import note, print_json
from db.file import DEFAULT_PATH


def evaluate(
    run: options.Run,
    subset: Annotated[
        str | None, typer.Option(help="Default: the track's, or the largest there is.")
    ] = None,
    box: Annotated[str | None, typer.Option(help="Default: the run's own protocol.")] = None,
    box_file: options.BoxFile = None,
    data_root: options.DataRoot = None,
    flip: Annotated[bool, typer.Option(help="Average with the mirrored picture.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate a run, under the ocular and the pupil NME, and store every face's result."""
    from experiments.evaluate import EvaluationSpec, evaluate_run
    from experiments.paths import Paths

    places = Paths(db, data_root, box_file, cache)
    entry = evaluate_run(run, EvaluationSpec(subset, box, flip, device, precision), places)
    if as_json:
        print_json(entry)
        return
    ocular, pupil = entry["ocular"], entry["pupil"]
    print(
        f"{entry['name']} on {entry['dataset']} {entry['subset']}"
        f" ({entry['n']} faces, box {entry['box']})"
    )
    for norm, s in (("ocular", ocular), ("pupil", pupil)):
        print(
            f"  {norm:6}  NME {s['nme']:.2f} %   FR@8 {s['fr8']:.1f}   AUC@8 {s['auc8']:.1f}"
            f"   FR@10 {s['fr10']:.1f}   AUC@10 {s['auc10']:.1f}"
        )
    note("Next: drf leaderboard, or drf web")
