"""A dataset of the training faces of 300-W and of pictures that models have labelled.

    python -m experiments.pseudo_labels LABELS... --pictures DIR --data-root data/300w --out DIR
        [--keep 0.93]

LABELS: folders of .pts files named as the pictures, one for each model, as `drf predict --pts` and
`drf export predictions --format pts` write them. --out is a folder for `--dataset folder`: links to
the pictures and labels of 300-W, whose `val` it keeps, links to the pictures, their labels, and a
dataset.toml. `drf predict` turns a photo as its EXIF orientation says, and no dataset does:
pictures with an orientation other than 1 are refused.

With one folder of labels the pictures are the subset `pseudo`, so that runs can be evaluated on
them: they are cut by boxes around LABELS, and what a run predicts then is a better label. With
several folders, what several runs predicted, the pictures belong to `train` with the mean of their
labels, but for those on which the runs agree least: nobody knows where such a face is.
docs/experiments.md has the commands of a whole training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drf.data.description import FILE
from drf.data.picture_files import orientation
from drf.data.prediction_files import listed
from drf.data.pts import format_pts, read_pts
from drf.data.w300 import PICTURE_SUFFIXES, W300
from drf.errors import DataError, UsageError
from drf.files import refuse_existing, replacing_folder, user_path
from drf.landmarks.markup import IBUG68
from drf.scoring.scores import image_errors
from experiments.scripts import run_script

REAL, PSEUDO = "real", "pseudo"


def make(
    labels: Sequence[Path], pictures: Path, data_root: Path, out: Path, keep: float
) -> tuple[int, int]:
    """Write the dataset and return the numbers of real and of labelled faces in it.

    Raises DataError for labels and pictures that cannot be read, and for a picture whose EXIF
    orientation is not 1; UsageError where there are no labels, if `out` exists, and for `keep`
    outside of 0..1, 0 excluded.
    """
    refuse_existing(out)
    if not 0 < keep <= 1:
        raise UsageError(f"--keep {keep:g}: a share above 0 and at most 1 is needed")
    if not pictures.is_dir():
        raise UsageError(f"there is no folder {pictures}: name the folder of the pictures")
    found = sorted(p for p in pictures.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    found = [p for p in found if all((one / f"{p.stem}.pts").is_file() for one in labels)]
    if not found:
        of = " and ".join(map(str, labels))
        raise UsageError(f"{of} has no .pts file of a picture of {pictures}")
    _refuse_turned(found)
    shapes = np.stack([[read_pts(one / f"{p.stem}.pts") for p in found] for one in labels])
    kept = agreed(shapes, keep) if len(labels) > 1 else np.ones(len(found), dtype=bool)
    real = W300(data_root)
    with replacing_folder(out) as folder:
        n_real, val = 0, []
        for subset in ("train", "val"):
            for name, pair in faces_of(real, subset).items():
                link_face(folder / REAL, name, pair)
                n_real += 1
                if subset == "val":
                    val.append(f"{REAL}/{flat(name)}")
        for number in np.flatnonzero(kept):
            picture, mean = found[number], shapes[:, number].mean(axis=0)
            link(folder / PSEUDO / picture.name, picture)
            label = folder / PSEUDO / f"{picture.stem}.pts"
            label.write_text(format_pts(mean), encoding="ascii")
        (folder / "val.txt").write_text("".join(f"{name}\n" for name in val), encoding="utf-8")
        rules = ['val = { list = "val.txt" }']
        if len(labels) == 1:
            rules.append(f'{PSEUDO} = {{ folder = "{PSEUDO}" }}')
        describe(folder, "300w-pseudo", rules)
    return n_real, int(kept.sum())


def _refuse_turned(pictures: Sequence[Path]) -> None:
    """Raise DataError where a picture is turned by its EXIF orientation: `drf predict` labels it as
    viewers show it, and a dataset has it as it is stored."""
    if turned := [path.name for path in pictures if orientation(path) != 1]:
        raise DataError(
            f"{len(turned)} of {len(pictures)} pictures have an EXIF orientation other than 1"
            f" ({listed(turned)}), so that their labels are not in px of the file: store them"
            " upright and label them again, or leave them out"
        )


def agreed(shapes: np.ndarray, keep: float) -> np.ndarray:
    """Return which faces are of the share `keep` on which models agree most, (N,) bool.

    shapes: (models, N, 68, 2) px. Disagreement: mean distance of the landmarks from the models'
    mean, divided by the distance of its outer eye corners.
    """
    mean = shapes.mean(axis=0)
    apart = np.mean([image_errors(one, mean, "ocular", IBUG68) for one in shapes], axis=0)
    return apart <= np.quantile(apart, keep)


def faces_of(real: W300, subset: str) -> dict[str, tuple[Path, Path]]:
    """Return face name -> (picture, .pts) of the faces that have both."""
    return {name: pair for name, pair in real.members(subset) if pair}


def flat(name: str) -> str:
    """Return the name that a face of 300-W has in such a folder, without its suffix."""
    return name.replace("/", "__")


def describe(folder: Path, name: str, rules: Sequence[str]) -> None:
    """Write dataset.toml. rules: lines of its [subsets]."""
    lines = (f'name = "{name}"', 'markup = "ibug68"', "[subsets]", *rules)
    (folder / FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def link_face(folder: Path, name: str, files: Sequence[Path]) -> None:
    """Link files of a face of 300-W into a folder."""
    for file in files:
        link(folder / f"{flat(name)}{file.suffix}", file)


def link(place: Path, file: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(file.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=user_path, nargs="+", help="folders of .pts files")
    parser.add_argument("--pictures", type=user_path, required=True, help="folder of pictures")
    parser.add_argument("--data-root", type=user_path, required=True, help="folder of 300-W")
    parser.add_argument("--out", type=user_path, required=True, help="folder to write")
    parser.add_argument(
        "--keep", type=float, default=0.93, help="share of the pictures, above 0 and at most 1"
    )
    given = parser.parse_args()
    real, labelled = make(given.labels, given.pictures, given.data_root, given.out, given.keep)
    print(f"{real} faces of 300-W and {labelled} labelled pictures in {given.out}")


if __name__ == "__main__":
    run_script(main)
