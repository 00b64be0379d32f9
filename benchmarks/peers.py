"""Ready-made detectors on the faces of 300-W beside ours, and what a wrong box does to each.

    python -m benchmarks.peers --data-root data/300w --environments DIR
        [--peer NAME]... [--model NAME|FILE.onnx]... [--subset helen] [--db FILE]
        [--figure FILE.png] [--sizes FILE.png] [--quick] [--json]

Each peer is installed into an environment of its own, DIR/NAME, which may be there already:

    dlib        dlib-bin, face_recognition_models: 0.2 GB
    mediapipe   mediapipe 0.10.21, the last that contains weights, numpy < 2: 1 GB

Not judged: face-api (npm), which needs Node.js; face-alignment, insightface, uniface and py-feat,
whose packages contain no weights.

Every peer is judged by its own detector's box. With --db its predictions become an external row of
that store, as by `drf import predictions`; a face that it does not find has the landmarks by the
labelled box there, so a peer that takes no box is stored only where it finds every face. What is
not stored is measured all the same, and `not_stored` says why. Those that take a box are also given
the labelled one, mapped to their kind by what their detector says of training faces, then moved by
a share of its side (mean over left, right, up, down) or scaled. `ms` are of landmarks alone, from
photo and box, on one thread: medians of blocks in which a peer and all of our models take turns.
`mb` is the file of a model. --sizes draws the NME by the labelled box against both. --quick takes
every tenth face.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import drf
from benchmarks import run_script
from benchmarks.timing import one_thread
from drf import loading
from drf.data.boxes import gt_boxes
from drf.data.dataset import Face, open_dataset
from drf.data.prediction_files import write_predictions
from drf.errors import DrfError
from drf.files import user_path
from drf.inference.alignment import Aligner
from drf.landmarks.markup import Markup
from drf.scoring import scores
from experiments.import_predictions import ImportSpec, import_predictions
from experiments.paths import Paths

WORKER = Path(__file__).with_name("peer_worker.py")
SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
DIRECTIONS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5)
EVERY_OF_TRAIN = 12
BLOCK, BLOCKS = 20, 9
SIZES = ("ms from photo and box to landmarks, one thread", "MB of the model's file")


@dataclass(frozen=True)
class Peer:
    """packages: pip's requirements · takes_box: whether it finds landmarks in a given box
    training: what is known of the data that it was trained on"""

    packages: tuple[str, ...]
    takes_box: bool
    paper: str
    training: str


PEERS = {
    "dlib": Peer(
        ("numpy", "dlib-bin", "face_recognition_models"),
        True,
        "https://doi.org/10.1109/CVPR.2014.241",
        "Weights of face_recognition_models, trained on iBUG 300-W. It has seen these test faces:"
        " its error on the test half of Helen is below that on the training half.",
    ),
    "mediapipe": Peer(
        ("numpy<2", "mediapipe==0.10.21"),
        False,
        "https://arxiv.org/abs/2006.10962",
        "Attention mesh, trained on pictures of its makers in another markup; 68 of its 478 points"
        " by the usual list. Nothing says that it has seen these faces.",
    ),
}


@dataclass(frozen=True)
class Faces:
    """pictures (H, W, 3) uint8 RGB each · points (n, K, 2) px · boxes (n, 3) cx, cy, side"""

    faces: Sequence[Face]
    pictures: list[np.ndarray]
    points: np.ndarray
    boxes: np.ndarray
    markup: Markup

    def nme(self, points: np.ndarray) -> float:
        """Return the NME, %, ocular, over the faces that have landmarks."""
        known = np.isfinite(points).all(axis=(1, 2))
        errors = scores.image_errors(
            points[known], self.points[known], "ocular", self.markup, "all"
        )
        return 100 * scores.nme(errors)


def read(root: Path, subset: str, every: int) -> Faces:
    dataset = open_dataset("300w", root)
    faces = dataset.subset(subset).faces[::every]
    points = np.stack([face.points for face in faces])
    pictures = [dataset.picture(face) for face in faces]
    return Faces(faces, pictures, points, gt_boxes(points), dataset.markup)


def environment(folder: Path, name: str) -> Path:
    """Return the Python of a peer's environment, which is made if it is not there. Raises DrfError
    that says why it cannot be."""
    python = folder / name / "bin/python"
    marker = folder / name / "installed"
    if marker.exists():
        return python
    for words in (
        [sys.executable, "-m", "venv", str(folder / name)],
        [str(python), "-m", "pip", "install", "--quiet", *PEERS[name].packages],
    ):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            raise DrfError(f"{name} cannot be installed here: {' '.join(last)}")
    marker.touch()
    return python


class Worker:
    """A peer in its environment, with the pictures of some faces."""

    def __init__(self, process: subprocess.Popen[str], answer: Path) -> None:
        self._process, self._answer = process, answer

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request, see `peer_worker`. Raises DrfError where it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DrfError("the peer ended") from None
        line = self._process.stdout.readline()
        if not line:
            raise DrfError("the peer ended")
        found: dict[str, Any] = json.loads(line)
        if self._answer.exists():
            with np.load(self._answer) as held:
                found |= dict(held)
            self._answer.unlink()
        return found


@contextmanager
def worker(python: Path, name: str, pictures: Sequence[np.ndarray]) -> Iterator[Worker]:
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "pictures.npz", Path(folder) / "answer.npz"
        np.savez(given, **{f"picture{i}": p for i, p in enumerate(pictures)})
        process = subprocess.Popen(
            [str(python), str(WORKER), name, str(given), str(answer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield Worker(process, answer)
        finally:
            process.terminate()
            process.wait()


def variations() -> dict[str, list[tuple[float, np.ndarray]]]:
    """Return what is done to boxes: kind -> (amount, changes (m, 3) of cx, cy as shares of the side
    and factor of the side)."""
    return {
        "shift": [
            (s, np.column_stack([s * DIRECTIONS, np.ones(4)]) if s else np.array([[0, 0, 1.0]]))
            for s in SHIFTS
        ],
        "scale": [(s, np.array([[0, 0, s]])) for s in SCALES],
    }


def changed(boxes: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(n, 3) cx, cy, side -> the same moved and scaled by a change of `variations`."""
    side = boxes[:, 2:]
    return np.hstack([boxes[:, :2] + side * change[:2], side * change[2]])


def robustness(faces: Faces, align: Any) -> dict[str, dict[str, float]]:
    """Return the NME by kind and amount; align: boxes (n, 3) -> points (n, K, 2)."""
    return {
        kind: {
            f"{amount:g}": float(
                np.mean([faces.nme(align(changed(faces.boxes, change))) for change in changes])
            )
            for amount, changes in amounts
        }
        for kind, amounts in variations().items()
    }


def ours(model: Aligner, faces: Faces, boxes: np.ndarray) -> np.ndarray:
    """Return our landmarks in boxes, (n, K, 2)."""
    found = []
    for first in range(0, len(boxes), 32):
        part = slice(first, first + 32)
        crops = [
            model.prepare(*pair) for pair in zip(faces.pictures[part], boxes[part], strict=True)
        ]
        found.append(model.locate(crops, boxes[part])[0])
    return np.concatenate(found)


def fitted(rectangles: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the change (3,) that makes our boxes those of a detector: medians over faces.

    rectangles: (n, 4) x, y, w, h of the detector, NaN where it found none; boxes (n, 3) ours
    """
    centres = rectangles[:, :2] + rectangles[:, 2:] / 2
    side = boxes[:, 2:]
    ratios = np.hstack([(centres - boxes[:, :2]) / side, rectangles[:, 2:3] / side])
    near = np.abs(ratios[:, :2]).max(axis=1) < 0.5
    return np.median(ratios[near], axis=0)


def corners(boxes: np.ndarray) -> list[list[float]]:
    """(n, 3) cx, cy, side -> x, y, w, h."""
    return np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:], boxes[:, 2:]]).tolist()


def judge(
    name: str, python: Path, faces: Faces, train: Faces, models: dict[str, Aligner]
) -> dict[str, Any]:
    """Return what a peer does: faces found, NME, robustness, MB, ms beside those of our models;
    `points` of all faces, NaN for those that a peer without a box missed."""
    change = np.array([0.0, 0, 1])
    if PEERS[name].takes_box:
        with worker(python, name, train.pictures) as run:
            found = run.ask(do="find", centres=train.boxes[:, :2].tolist())
            change = fitted(found["rectangles"], train.boxes)
    with worker(python, name, faces.pictures) as run:
        found = run.ask(do="find", centres=faces.boxes[:, :2].tolist())
        points = found["points"]
        away = np.abs(points.mean(axis=1) - faces.boxes[:, :2]).max(axis=1)
        points[away > 0.3 * faces.boxes[:, 2]] = np.nan  # another face of the picture
        missed = ~np.isfinite(points).all(axis=(1, 2))
        result: dict[str, Any] = {
            "missed": int(missed.sum()),
            "nme": faces.nme(points),
            "training": PEERS[name].training,
        }
        if PEERS[name].takes_box:

            def align(boxes: np.ndarray) -> np.ndarray:
                return np.asarray(
                    run.ask(do="align", boxes=corners(changed(boxes, change)))["points"]
                )

            labelled = align(faces.boxes)
            points = np.where(missed[:, None, None], labelled, points)
            result |= {"nme_labelled_box": faces.nme(labelled), "box": change.tolist()}
            result["robustness"] = robustness(faces, align)
            boxes = corners(changed(faces.boxes, change))
            times = {name: lambda: run.ask(do="time", boxes=boxes, faces=BLOCK)["ms"]}
            times |= {ours: partial(block, model, faces) for ours, model in models.items()}
            result |= {"mb": run.ask(do="size")["mb"], "ms": turns(times)}
    return result | {"points": points}


def block(model: Aligner, faces: Faces) -> list[float]:
    """Return the ms of our model from photo and box to landmarks, of the first faces."""
    taken = []
    for picture, box in zip(faces.pictures[:BLOCK], corners(faces.boxes), strict=False):
        began = time.perf_counter()
        model(picture, [box])
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def turns(blocks: Mapping[str, Callable[[], list[float]]]) -> dict[str, float]:
    """Return the medians of what takes turns, block by block."""
    taken: dict[str, list[float]] = {name: [] for name in blocks}
    for _ in range(BLOCKS):
        for name, measured in blocks.items():
            taken[name] += measured()
    return {name: float(np.median(ms)) for name, ms in taken.items()}


def megabytes(name: str) -> float | None:
    """Return the size of a released model or an ONNX file; None for a run."""
    file = loading.FOLDER / f"{name}.onnx" if name in loading.released() else Path(name)
    return file.stat().st_size / 1e6 if file.is_file() else None


def store(
    db: Path, root: Path, subset: str, name: str, faces: Faces, found: dict[str, Any]
) -> None:
    """Import a peer's predictions as an external row.

    Raises DrfError where the store does not take them, as it has them already, and for a peer that
    takes no box and missed faces: these have no landmarks.
    """
    if found["missed"] and not PEERS[name].takes_box:
        raise DrfError(f"its detector missed {found['missed']} faces, and it takes no box")
    note = PEERS[name].training
    if found["missed"]:
        note += f" Its detector missed {found['missed']} faces, which were given the labelled box."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.npz"
        names = [face.name for face in faces.faces]
        write_predictions(file, "npz", names, found["points"].astype(np.float32))
        spec = ImportSpec(name, "300w", subset, paper=PEERS[name].paper, note=note)
        import_predictions(file, spec, Paths(db, root, None, None, None))


def draw(curves: dict[str, dict[str, dict[str, float]]], file: Path, subset: str) -> None:
    """Write the figure of NME against shift and scale of the box."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"shift": "box moved by, share of its side", "scale": "box scaled by"}
    for panel, (kind, title) in zip(panels, titles.items(), strict=True):
        for method, curve in curves.items():
            x = [float(amount) for amount in curve[kind]]
            panel.plot(
                x, list(curve[kind].values()), marker="o", markersize=4, label=Path(method).name
            )
        panel.set_xlabel(title)
        panel.set_yscale("log")
        panel.set_yticks([3, 4, 6, 10, 20], ["3", "4", "6", "10", "20"], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"NME ocular on {subset}, %")
    panels[0].legend()
    figure.savefig(file, dpi=110)


def draw_sizes(found: dict[str, Any], file: Path) -> None:
    """Write the figure of NME by the labelled box against ms and MB, in the turns of the first peer
    that has been timed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    timed: dict[str, Any] = next((r for r in found["peers"].values() if "ms" in r), {"ms": {}})
    rows = {
        name: (row.get("nme_labelled_box", row.get("nme")), timed["ms"].get(name), row.get("mb"))
        for name, row in (found["ours"] | found["peers"]).items()
    }
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for place, (panel, title) in enumerate(zip(panels, SIZES, strict=True), 1):
        for name, row in rows.items():
            if row[0] is not None and row[place] is not None:
                marker = "s" if name in found["peers"] else "o"
                panel.plot(row[place], row[0], marker, markersize=8, label=Path(name).name)
        panel.set(xlabel=title, xscale="log")
        panel.margins(x=0.1, y=0.1)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"NME ocular on {found['subset']}, %")
    panels[0].legend()
    figure.savefig(file, dpi=110)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the module; see `main` for the options."""
    every = 10 if options.quick else 1
    faces = read(options.data_root, options.subset, every)
    train = read(options.data_root, "train", EVERY_OF_TRAIN * every)
    models = {name: drf.load(name) for name in options.models or [loading.DEFAULT]}
    result: dict[str, Any] = {"subset": options.subset, "faces": len(faces.faces), "ours": {}}
    for name, model in models.items():
        curve = robustness(faces, lambda boxes, model=model: ours(model, faces, boxes))
        row = {"nme": curve["shift"]["0"], "mb": megabytes(name), "robustness": curve}
        result["ours"][name] = row
    result["peers"] = {}
    for name in options.peers or PEERS:
        try:
            python = environment(options.environments, name)
            found = judge(name, python, faces, train, models)
        except DrfError as error:
            result["peers"][name] = {"failed": str(error)}
            continue
        row = {key: value for key, value in found.items() if key != "points"}
        if options.db and not options.quick:
            try:
                store(options.db, options.data_root, options.subset, name, faces, found)
            except DrfError as error:
                row["not_stored"] = str(error)
        result["peers"][name] = row
    return result


def draw_figures(found: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the figures that the options ask for."""
    if options.figure:
        both = found["ours"] | found["peers"]
        curves = {name: row["robustness"] for name, row in both.items() if "robustness" in row}
        draw(curves, options.figure, found["subset"])
    if options.sizes:
        draw_sizes(found, options.sizes)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", type=user_path, required=True, help="folder of 300-W")
    parser.add_argument(
        "--environments", type=user_path, required=True, help="folder for the peers' environments"
    )
    parser.add_argument("--peer", action="append", choices=list(PEERS), dest="peers")
    parser.add_argument("--model", action="append", dest="models", help="released name, file, run")
    parser.add_argument("--subset", default="helen")
    parser.add_argument("--db", type=user_path, help="store for the peers' external rows")
    parser.add_argument("--figure", type=user_path, help="PNG of NME against shift and scale")
    parser.add_argument("--sizes", type=user_path, help="PNG of NME against ms and MB")
    parser.add_argument("--quick", action="store_true", help="every tenth face")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with one_thread():
        found = measure(options)
    if options.json:
        print(json.dumps(found, indent=2), flush=True)
    else:
        print_table(found)
    draw_figures(found, options)
    return 0


def print_table(found: dict[str, Any]) -> None:
    print(f"{found['subset']}, {found['faces']} faces, NME ocular, %")
    for name, row in (found["ours"] | found["peers"]).items():
        if "failed" in row:
            print(f"{name}: {row['failed']}")
            continue
        size = "" if row.get("mb") is None else f", {row['mb']:.1f} MB"
        print(f"{name}: {row['nme']:.2f}, missed {row.get('missed', 0)}{size}")
        if "not_stored" in row:
            print(f"  not stored: {row['not_stored']}")
        if "ms" in row:
            print(
                "  ms a face, in turn: " + "  ".join(f"{k} {v:.2f}" for k, v in row["ms"].items())
            )
        for kind, curve in row.get("robustness", {}).items():
            values = "  ".join(f"{amount}: {nme:.2f}" for amount, nme in curve.items())
            print(f"  {kind}  {values}")


if __name__ == "__main__":
    run_script(main)
