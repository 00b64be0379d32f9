"""Runs of a few faces, trained in processes of their own that end themselves at an exact point.

A process is forked from a server that has imported torch already, so it takes a second. What it
changes in drf (few faces, the point at which it kills itself) it changes in itself alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from db import reads
from db.connection import open_reader, open_store
from db.file import run_folder
from db.maintenance import integrity
from db.recording import gallery
from drf import checkpoint, registry
from drf.errors import DrfError

FACES, EPOCHS = 24, 2
SETTINGS = {
    "data.dataset": "synthetic",
    "data.synthetic_train_size": FACES,
    "data.input_size": 32,
    "training.batch_size": 8,
    "training.epochs": EPOCHS,
    "training.deterministic": True,
    "training.device": "cpu",
    "training.precision": "fp32",
}
DURATIONS = ("elapsed_s", "training_s", "validation_s")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *(place.partition(":")[0] for place in registry.FAMILIES.values()),
        *("experiments.train", "tests.faults.trainings", "torch._dynamo", "scipy.optimize"),
    ]
)


@dataclass(frozen=True)
class Training:
    """What a process trains, and at which point it kills itself.

    family   with the values of `settings` on top of SETTINGS
    resume   whether the run in the store goes on; else a new one begins
    kill_at  number of the point (a rename of a file, a commit), counted from 1; 0 for none
    point    name of the points that kill_at counts, "" for all; a slow process has more of some
             (signs of life), so that the number of one among all is no fixed place
    after    whether it dies after that point rather than before
    number   the signal that it sends itself
    changes  of a resumed run
    """

    folder: Path
    family: str
    settings: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    kill_at: int = 0
    point: str = ""
    after: bool = False
    number: int = signal.SIGKILL
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def db(self) -> Path:
        return self.folder / "drf.db"

    def start(self) -> BaseProcess:
        """Start a process that trains; it ends with the exit code of `drf train`."""
        self.folder.mkdir(exist_ok=True)
        process = _context.Process(target=_train, args=(self,))
        process.start()
        return process

    def run(self) -> int | None:
        """Train, and return the exit code; below 0 the signal that ended it."""
        process = self.start()
        process.join(120)
        assert process.exitcode is not None, "no end after two minutes"
        return process.exitcode

    def points(self) -> list[str]:
        """Return what the last process did, as "commit drf.db" or "rename last.safetensors"."""
        return (self.folder / "points").read_text().splitlines()

    def words(self) -> str:
        """Return what the last process wrote on stderr."""
        return (self.folder / "stderr").read_text()


@dataclass(frozen=True)
class Digits:
    """All that a run must end with however often it was killed."""

    weights: dict[str, str]
    curves: dict[tuple[str, int], float]
    faces: list[tuple[int, bytes]]
    leaves: int
    kept: tuple[int, float]
    status: str


def digits(db: Path) -> Digits:
    """Return the digits of the one run in a store."""
    with contextlib.closing(open_reader(db)) as con:
        (run,) = reads.runs(con)["id"]
        stored = reads.run(con, run)
        curves = reads.curves(con, run)
        faces = con.execute(
            "SELECT epoch, prediction FROM epoch_predictions WHERE run = ? ORDER BY epoch, face",
            [run],
        ).fetchall()
        leaves = len(gallery.leaves(con, run)[0])
    folder = run_folder(db, run)
    weights = {
        f"{name}/{key}": hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name in (checkpoint.BEST, checkpoint.LAST)
        for key, tensor in checkpoint.load(folder / name).tensors.items()
    }
    return Digits(
        weights,
        {(m, e): v for e, m, v in curves.itertuples(index=False)},
        faces,
        leaves,
        (stored["kept_epoch"], stored["kept_val_nme"]),
        stored["status"],
    )


def faults(db: Path) -> list[object]:
    """Return what `drf db check` finds in a store and in the records beside its checkpoints, once
    the next process has opened them."""
    found: list[object] = []
    for path in [db, *db.parent.glob("*/record.db")]:
        open_store(path).close()
        with contextlib.closing(open_reader(path)) as con:
            found += integrity.faults(con)
    return found


def only_run(db: Path) -> dict[str, Any]:
    with contextlib.closing(open_reader(db)) as con:
        (run,) = reads.runs(con)["id"]
        return reads.run(con, run)


def _train(wanted: Training) -> None:
    """In the new process: train as the command line does, and exit like it."""
    sys.stderr = (wanted.folder / "stderr").open("w", buffering=1)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests run by nohup ignore it, and so would this
    _make_it_small(wanted)
    with _killed(wanted):
        sys.exit(_command(wanted))


def _command(wanted: Training) -> int:
    from experiments.paths import Paths
    from experiments.request import Request
    from experiments.train import resume_training, train_new_run

    paths = Paths(wanted.db, None, None, wanted.folder.parent / "cache")
    try:
        if wanted.resume:
            with contextlib.closing(open_reader(wanted.db)) as con:
                (run,) = reads.runs(con)["id"]
            result = resume_training(run, wanted.changes, paths)
        else:
            result = train_new_run(Request(wanted.family), paths, wanted.family)
        print(result.sentence(wanted.db), file=sys.stderr)
        return result.exit_code()
    except DrfError as error:
        print(f"drf: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def few_faces(cache: Path) -> list[Any]:
    """Return packs to train and to validate on: the 200 faces of `val` would take longer than
    everything else."""
    from drf.data.packs import pack
    from drf.data.synthetic_dataset import SyntheticDataset

    faces = SyntheticDataset(size=FACES)
    return [pack(faces, "train", "gt", cache), pack(faces, "train", "gt", cache, limit=8)]


def _make_it_small(wanted: Training) -> None:
    """Train the family with its defaults, not with a preset, and on few faces."""
    import experiments.train as train
    from drf import config
    from drf.training import batches

    def resolved(_: object) -> Any:
        flat = SETTINGS | wanted.settings
        return config.resolve(wanted.family, registry.family(wanted.family).config, [("--", flat)])

    cache = wanted.folder.parent / "cache"
    train.load_packs = lambda *_: few_faces(cache)  # type: ignore[assignment]
    train.configure, batches.DRAWN = resolved, 4 * FACES  # type: ignore[assignment]


@contextlib.contextmanager
def _killed(wanted: Training) -> Iterator[None]:
    """Count the points at which something becomes final, and die at one of them."""
    from db.transactions import Store

    passed: list[str] = []

    def at_point(name: str, act: Callable[[], Any]) -> Any:
        passed.append(name)
        counted = passed.count(wanted.point) if wanted.point else len(passed)
        chosen = counted == wanted.kill_at and wanted.point in ("", name)
        if chosen and not wanted.after:
            os.kill(os.getpid(), wanted.number)
        done = act()
        if chosen and wanted.after:
            os.kill(os.getpid(), wanted.number)
        return done

    rename, execute = Path.replace, Store.execute

    def counted_rename(path: Path, target: Any) -> Any:
        return at_point(f"rename {Path(target).name}", lambda: rename(path, target))

    def counted_execute(store: Store, sql: str, *arguments: Any) -> Any:
        if sql != "COMMIT":
            return execute(store, sql, *arguments)
        return at_point(f"commit {store.path.name}", lambda: execute(store, sql, *arguments))

    Path.replace = counted_rename  # type: ignore[assignment, method-assign]
    Store.execute = counted_execute  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        (wanted.folder / "points").write_text("\n".join(passed))
