"""From a stored run to an ONNX file that needs nothing beside itself."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db import reads
from db.boards.entries import entry
from db.connection import open_reader
from db.file import run_folder
from db.maintenance.bundle import restricted
from db.tables.derived import datasets_of
from drf import checkpoint
from drf.config import RunConfig
from drf.data.dataset import terms_of
from drf.inference.onnx_export import export_onnx
from drf.inference.onnx_network import Description, largest_error
from drf.text import percent
from drf.version import VERSION
from experiments.paths import checkpoint_of

_SCORES = ("dataset", "subset", "landmarks", "box", "flip_test", "n", "scores")


def export_run(
    text: str, target: Path | None, db: Path, *, reject_above: float | None = None
) -> Path:
    """Write a run's best checkpoint as an ONNX file and return its path.

    target         None for NAME.onnx in the present folder, NAME being the run's
    reject_above   `largest_error` of `Description`; None takes what follows from the run

    Raises NotFoundError for a run that matches none or several, UsageError as `export_onnx`, and as
    `checkpoint_of`.
    """
    with contextlib.closing(open_reader(db)) as reader:
        run = reads.find_run(reader, text)
        facts = reads.run(reader, run)
        board = reads.leaderboard(reader, landmarks=None)
    saved = checkpoint_of(facts, run_folder(db, run) / checkpoint.BEST)
    model, config = checkpoint.rebuild(saved)
    usual = model.recalibrations.single.usual
    entries = [entry(row) for _, row in board[board["run"] == run].iterrows()]
    scores = [{key: found[key] for key in _SCORES} for found in entries]
    described = Description(
        name=facts["name"],
        input_size=model.spec.input_size,
        markup=model.spec.markup,
        landmarks=model.spec.landmarks,
        box=config.data.box,
        largest_error=largest_error(usual) if reject_above is None else reject_above,
        family=config.family,
        run=run,
        version=VERSION,
        scores=scores,
        card=card(facts, config, scores),
    )
    path = target or Path(re.sub(r"[^\w.-]+", "-", facts["name"]) + ".onnx")
    export_onnx(model, path, described)
    return path


def card(facts: Mapping[str, Any], config: RunConfig, scores: Sequence[Mapping[str, Any]]) -> str:
    """Return what the user of a model should know, a sentence a line. facts: of `reads.run`."""
    learned, faces = facts["trained_on"], facts["manifest"].get("faces")
    lines = [
        f"{facts['name']}: {config.family}, exported by drf {VERSION} from run {facts['id']}.",
        f"Trained on {facts['dataset']} ({faces} faces), box {config.data.box}.",
    ]
    if other := config.training.init_from:
        weights = "the whole model" if config.training.init_weights == "all" else "the backbone"
        lines.append(
            f"It started from {weights} of run {other[:8]}; in all it learned from {learned}."
        )
    if data := config.training.pretrained:
        lines.append(f"Its backbone started from published weights, which learned from {data}.")
    if terms := restricted(dict.fromkeys(datasets_of(learned), 1)):
        named = " ".join(f"{name}: {terms_of(name)}." for name in terms)
        lines.append(f"The terms of its training data hold for the model too. {named}")
    for found in scores:
        errors = ", ".join(
            f"{percent(values['nme'])} ({norm})"
            for norm, values in found["scores"].items()
            if values["nme"] is not None
        )
        flip = "with" if found["flip_test"] else "without"
        lines.append(
            f"NME on {found['dataset']} {found['subset']} ({found['n']} faces, box {found['box']},"
            f" {flip} flip test): {errors}."
        )
    return "\n".join(lines)
