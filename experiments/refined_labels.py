"""A dataset of the training faces of 300-W with labels that models which never saw them refine.

    python -m experiments.refined_labels split --data-root data/300w --out FOLDS [--folds 3]
    python -m experiments.refined_labels refine PREDICTED... --data-root data/300w --out DIR

`split` writes FOLDS/0, FOLDS/1, …: each is a folder for `--dataset folder`, whose subset `held-out`
has the photos of one fold, `train` those of all others, and `val` the faces of 300-W's own. A run
for each fold, evaluated on its `held-out`, predicts every training face once without having learned
it; `drf export predictions RUN --subset held-out --format pts` writes a folder PREDICTED. `refine`
then writes the training faces with labels between those of people, y, and the predicted ones, f:

    y' = y + 0.25 e                    where a landmark has a place of its own
    y' = y + 0.5 (t . e) t             on the jaw and the brows

e is f - y, shortened where it is longer than 6 % of the distance D of the outer eye corners, and t
the unit tangent of the outline. People agree on where a jaw is and much less on where along it a
landmark lies. `val` keeps its labels. docs/experiments.md has the commands of a whole training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drf.data.pts import format_pts, read_pts
from drf.data.w300 import W300, photo_of, photo_rank
from drf.errors import UsageError
from drf.files import refuse_existing, replacing_folder, user_path
from drf.landmarks.markup import IBUG68
from drf.scoring.scores import distances, image_errors
from experiments.pseudo_labels import describe, faces_of, flat, link_face
from experiments.scripts import run_script

HELD_OUT = "held-out"
LONGEST = 0.06
"""Of e, as a share of D."""
ALONG, ELSEWHERE = 0.5, 0.25
_BY_FOLDER = '{0} = {{ folder = "{0}" }}'
_OUTLINES = ("jaw", "right_brow", "left_brow")


def split(data_root: Path, folds: int, out: Path) -> list[int]:
    """Write a dataset for each fold and return the numbers of faces that they hold out.

    Raises UsageError if `out` exists, or where a fold would be empty or hold all faces.
    """
    refuse_existing(out)
    real = W300(data_root)
    train, val = faces_of(real, "train"), faces_of(real, "val")
    fold_of = {name: _fold(photo_of(name), folds) for name in train} if folds > 1 else {}
    sizes = [list(fold_of.values()).count(fold) for fold in range(folds)]
    if folds < 2 or not all(sizes):
        raise UsageError(f"{len(train)} faces do not divide into {folds} folds")
    with replacing_folder(out) as folder:
        for fold in range(folds):
            for name, pair in train.items():
                subset = HELD_OUT if fold_of[name] == fold else "train"
                link_face(folder / str(fold) / subset, name, pair)
            for name, pair in val.items():
                link_face(folder / str(fold) / "val", name, pair)
            rules = [_BY_FOLDER.format(HELD_OUT), _BY_FOLDER.format("val")]
            describe(folder / str(fold), f"300w-without-fold-{fold}", rules)
    return sizes


def refine(predicted: Sequence[Path], data_root: Path, out: Path) -> tuple[int, float]:
    """Write the training faces with refined labels. Return their number, and how far the labels
    moved on average: the mean distance of the landmarks divided by D.

    predicted: folders of .pts files, in subfolders too, which have every training face once
    Raises UsageError if `out` exists or a face has not one prediction, DataError for a file that
    cannot be read.
    """
    refuse_existing(out)
    real = W300(data_root)
    train, val = faces_of(real, "train"), faces_of(real, "val")
    found: dict[str, list[Path]] = {}
    for path in (path for folder in predicted for path in folder.rglob("*.pts")):
        found.setdefault(path.stem, []).append(path)
    moved = []
    with replacing_folder(out) as folder:
        for name, (picture, label) in train.items():
            own = found.get(flat(name), [])
            if len(own) != 1:
                raise UsageError(f"{name} has {len(own)} predictions; every face needs one")
            given = read_pts(label)
            refined = refined_labels(given, read_pts(own[0]))
            moved.append(image_errors(refined[None], given[None], "ocular", IBUG68)[0])
            link_face(folder / "train", name, [picture])
            place = folder / "train" / f"{flat(name)}.pts"
            place.write_text(format_pts(refined), encoding="ascii")
        for name, pair in val.items():
            link_face(folder / "val", name, pair)
        describe(folder, "300w-refined", [_BY_FOLDER.format("val")])
    return len(train), float(np.mean(moved))


def refined_labels(given: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return y' of the module's equations: (68, 2) px twice -> (68, 2)."""
    error = predicted - given
    length = np.linalg.norm(error, axis=1, keepdims=True)
    longest = LONGEST * distances(given[None], "ocular", IBUG68)[0]
    error = error * np.minimum(1, longest / np.maximum(length, 1e-12))
    moved = ELSEWHERE * error
    for name in _OUTLINES:
        group = list(IBUG68.groups[name])
        tangent = np.gradient(given[group], axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
        moved[group] = ALONG * (error[group] * tangent).sum(axis=1, keepdims=True) * tangent
    return given + moved


def _fold(photo: str, folds: int) -> int:
    """Of the rank of a photo `val` takes the remainder by 10; what is left decides on the fold."""
    return photo_rank(photo) // 10 % folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_split = commands.add_parser("split", help="write a dataset for each fold")
    of_split.add_argument("--folds", type=int, default=3, help="number of folds, 2 or more")
    of_refine = commands.add_parser("refine", help="write the dataset of refined labels")
    of_refine.add_argument("predicted", type=user_path, nargs="+", help="folders of .pts files")
    for command in (of_split, of_refine):
        command.add_argument("--data-root", type=user_path, required=True, help="folder of 300-W")
        command.add_argument("--out", type=user_path, required=True, help="folder to write")
    given = parser.parse_args()
    if given.command == "split":
        sizes = split(given.data_root, given.folds, given.out)
        print(f"{len(sizes)} folds in {given.out}: {', '.join(map(str, sizes))} faces held out")
    else:
        n, moved = refine(given.predicted, given.data_root, given.out)
        print(f"{n} faces in {given.out}, labels moved by {100 * moved:.2f} % on average")


if __name__ == "__main__":
    run_script(main)
