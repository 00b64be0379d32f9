"""A dataset of the training faces of 300-W and of pictures that a model has labelled.

    python -m experiments.pseudo_labels LABELS --pictures DIR --data-root data/300w --out DIR
        [--before LABELS [--keep 0.9]]

LABELS: folder of .pts files named as the pictures, as `drf predict --pts` and `drf export
predictions --format pts` write them. --out is a folder for `--dataset folder`: links to pictures
and labels of both sets, and a dataset.toml. Its `val` is that of 300-W.

Without --before, the pictures are the subset `pseudo`, so that a run can be evaluated on them: they
are cut by boxes around LABELS, and its predictions are better labels. With --before, the labels of
the round before, they belong to `train`, but for those whose labels changed most from one round to
the next: the model does not know where such a face is. Change: mean distance of the landmarks,
divided by that of the outer eye corners. docs/experiments.md has the commands of a whole training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from drf.data.pts import read_pts
from drf.data.w300 import PICTURE_SUFFIXES, W300
from drf.errors import DrfError, UsageError
from drf.files import refuse_existing, replacing_folder, user_path
from drf.landmarks.markup import IBUG68
from drf.scoring.scores import image_errors

REAL, PSEUDO = "real", "pseudo"


def make(
    labels: Path, pictures: Path, data_root: Path, out: Path, before: Path | None, keep: float
) -> tuple[int, int]:
    """Write the dataset and return the numbers of real and of labelled faces in it.

    Raises DataError for labels that cannot be read, UsageError where there are none, or if `out`
    exists.
    """
    refuse_existing(out)
    found = sorted(p for p in pictures.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    pairs = [(p, labels / f"{p.stem}.pts") for p in found]
    pairs = [pair for pair in pairs if pair[1].is_file()]
    if not pairs:
        raise UsageError(f"{labels} has no .pts file of a picture of {pictures}")
    if before is not None:
        pairs = steadiest(pairs, before, keep)
    real = W300(data_root)
    with replacing_folder(out) as folder:
        n_real, val = 0, []
        for subset in ("train", "val"):
            for name, pair in real.members(subset):
                if pair is None:
                    continue
                place = f"{REAL}/{name.replace('/', '__')}"
                _link(folder / place, *pair)
                n_real += 1
                if subset == "val":
                    val.append(place)
        for pair in pairs:
            _link(folder / PSEUDO / pair[0].stem, *pair)
        (folder / "val.txt").write_text("".join(f"{name}\n" for name in val), encoding="utf-8")
        rules = ['val = { list = "val.txt" }']
        if before is None:
            rules.append(f'{PSEUDO} = {{ folder = "{PSEUDO}" }}')
        lines = ('name = "300w-pseudo"', 'markup = "ibug68"', "[subsets]", *rules)
        (folder / "dataset.toml").write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )
    return n_real, len(pairs)


def steadiest(pairs: list[tuple[Path, Path]], before: Path, keep: float) -> list[tuple[Path, Path]]:
    """Return the share `keep` of (picture, label) pairs whose labels are nearest to those in the
    folder `before`, in their order. A picture without a label there is left out."""
    known = [pair for pair in pairs if (before / pair[1].name).is_file()]
    now = np.stack([read_pts(label) for _, label in known])
    then = np.stack([read_pts(before / label.name) for _, label in known])
    change = image_errors(then, now, "ocular", IBUG68)
    limit = np.quantile(change, keep)
    return [pair for pair, moved in zip(known, change, strict=True) if moved <= limit]


def _link(place: Path, picture: Path, label: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    for file in (picture, label):
        place.with_name(place.name + file.suffix).symlink_to(file.resolve())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=user_path, help="folder of .pts files")
    parser.add_argument("--pictures", type=user_path, required=True, help="folder of pictures")
    parser.add_argument("--data-root", type=user_path, required=True, help="folder of 300-W")
    parser.add_argument("--out", type=user_path, required=True, help="folder to write")
    parser.add_argument("--before", type=user_path, help="labels of the round before")
    parser.add_argument("--keep", type=float, default=0.9, help="share of the pictures, 0..1")
    given = parser.parse_args()
    try:
        real, labelled = make(
            given.labels, given.pictures, given.data_root, given.out, given.before, given.keep
        )
    except DrfError as error:
        print(f"pseudo_labels: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{real} faces of 300-W and {labelled} labelled pictures in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
