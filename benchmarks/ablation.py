"""A true ablation: trees x depth x width of the labels x seeds, short runs, all in the store.

    python -m benchmarks.ablation --data-root data/300w [--db FILE] [--epochs 12] [--jobs 2]
    python -m benchmarks.ablation --quick           (synthetic faces, four runs, within a minute)

Each run is trained and evaluated on val as `drf train` and `drf eval` do it, by the same functions,
so the app's page Ablations shows them. What the store has finished already is skipped: an
interrupted script goes on where it was. The forest is heatmap-forest on small pictures with a
narrow encoder, a minute or so on one thread: enough to compare, not to win. The budget is counted
in epochs, not in minutes: what else the machine does costs time but changes no result, and a larger
forest is judged by what it learns from the same faces, with its time beside it. With --jobs every
run has one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from db import entries, reads
from db.connection import open_reader, open_store
from db.file import DEFAULT_PATH
from db.status import FAULTS
from drf.errors import DrfError
from drf.files import user_path
from drf.statistics import over_seeds
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths, load_packs
from experiments.request import Request, configure
from experiments.train import Result, find_finished, train_in_process

PRESET = "heatmap-forest"
SUBSET = "val"
ENDED = ("finished", *FAULTS)
BASE: dict[str, object] = {
    "data.input_size": 64,
    "model.width": 16,
    "training.device": "cpu",
}
TREES, DEPTHS, SIGMAS, SEEDS = (1, 2, 4), (3, 6), (0.5, 2.0), (0, 1)
QUICK: dict[str, object] = {"data.dataset": "synthetic", "data.synthetic_train_size": 200}
QUICK_EPOCHS = 2


@dataclass(frozen=True)
class Combination:
    """One run of the ablation. sigma: of the labels, in cells."""

    trees: int
    depth: int
    sigma: float
    seed: int

    @property
    def name(self) -> str:
        """What its runs, which differ in the seed alone, are called on the board."""
        return f"ablation: trees {self.trees}, depth {self.depth}, sigma {self.sigma:g}"

    def request(self, base: dict[str, object]) -> Request:
        """Return what `drf train` would be asked for."""
        own = {
            "model.trees": self.trees,
            "model.tree_depth": self.depth,
            "model.label_sigma": self.sigma,
            "training.seed": self.seed,
        }
        return Request(PRESET, options=base | own)


def grid(*, quick: bool) -> list[Combination]:
    """Return what is trained, all of seed 0 before any of seed 1."""
    levels = ((1, 4), (3,), (1.0,)) if quick else (TREES, DEPTHS, SIGMAS)
    return [Combination(*level, seed) for seed in SEEDS for level in itertools.product(*levels)]


def finished(
    combinations: Sequence[Combination], base: dict[str, object], db: Path
) -> list[str | None]:
    """Return for each combination the newest run that ended as it should, None without one.

    A collapsed or diverged run is a result too: it would do so again.
    """
    found = []
    for combination in combinations:
        config = configure(combination.request(base)).config
        flat, name = config.flat(), combination.name
        found.append(find_finished(db, config.family, flat, name, statuses=ENDED))
    return found


def evaluations(db: Path, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entries on the board of val, as `drf leaderboard --json` has them, by run."""
    with contextlib.closing(open_reader(db)) as reader:
        board = reads.leaderboard(reader, subset=SUBSET)
    rows = board[board["run"].isin(runs)].drop_duplicates("run").to_dict("records")
    return {row["run"]: entries.entry(row) | {"wall_s": row["wall_s"]} for row in rows}


def outcomes(
    combinations: Sequence[Combination], base: dict[str, object], paths: Paths, jobs: int
) -> Iterator[tuple[Combination, str]]:
    """Train what is missing, `jobs` runs at a time, evaluate what has no evaluation yet, and yield
    each combination with its outcome in words.

    Each run is trained in a process of its own; with several at a time all have one thread, and
    this process too, which evaluates. A run that the user stops stops all.
    """
    threads = torch.get_num_threads() if jobs == 1 else 1
    torch.set_num_threads(threads)

    def train(combination: Combination) -> Result:
        return train_in_process(combination.request(base), paths, combination.name, threads)

    runs = dict(zip(combinations, finished(combinations, base, paths.db), strict=True))
    with ThreadPoolExecutor(jobs) as pool:
        trained = {pool.submit(train, one): one for one, run in runs.items() if run is None}
        try:
            for combination, run in runs.items():
                if run is not None:
                    yield combination, evaluated(run, "trained before", paths)
            for future in as_completed(trained):
                result = future.result()
                yield trained[future], evaluated(result.run, result.outcome.state, paths)
        finally:
            pool.shutdown(cancel_futures=True)


def evaluated(run: str, state: str, paths: Paths) -> str:
    """Evaluate a run unless the store has that; return its state and error in words."""
    if evaluations(paths.db, [run]):
        return f"{state}, evaluated before"
    entry = evaluate_run(run, EvaluationSpec(SUBSET), paths)
    return f"{state}, NME {entry['ocular']['nme']:.2f} %"


def summary(combinations: Sequence[Combination], base: dict[str, object], db: Path) -> list[dict]:
    """Return one row per setting: means over its seeds, NME in percent with its deviation."""
    runs = finished(combinations, base, db)
    found = evaluations(db, [run for run in runs if run])
    by_setting: dict[tuple[int, int, float], list[dict[str, Any]]] = {}
    for combination, run in zip(combinations, runs, strict=True):
        if run in found:
            key = (combination.trees, combination.depth, combination.sigma)
            by_setting.setdefault(key, []).append(found[run])
    rows = []
    for (trees, depth, sigma), seeds in by_setting.items():
        ocular = over_seeds([entry["ocular"]["nme"] for entry in seeds])
        rows.append(
            {"trees": trees, "depth": depth, "sigma": sigma, "seeds": ocular.n}
            | {"nme": ocular.mean, "sd": ocular.sd if ocular.n > 1 else None}
            | {"pupil": over_seeds([entry["pupil"]["nme"] for entry in seeds]).mean}
            | {key: seeds[0][key] for key in ("params", "macs")}
            | {
                "minutes": over_seeds([entry["wall_s"] / 60 for entry in seeds]).mean,
                "collapsed": sum(entry["status"] in FAULTS for entry in seeds),
                "runs": [entry["run"] for entry in seeds],
            }
        )
    return rows


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "trees": lambda row: str(row["trees"]),
    "depth": lambda row: str(row["depth"]),
    "sigma": lambda row: f"{row['sigma']:g}",
    "seeds": lambda row: str(row["seeds"]),
    "NME % ocular": lambda row: _nme(row),
    "pupil": lambda row: f"{row['pupil']:.2f}",
    "M params": lambda row: f"{row['params'] / 1e6:.2f}",
    "MMACs": lambda row: f"{row['macs'] / 1e6:.0f}",
    "min": lambda row: f"{row['minutes']:.1f}",
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the summary in Markdown."""
    lines = [[cell(row) for cell in COLUMNS.values()] for row in rows]
    return tabulate(lines, [*COLUMNS], tablefmt="github", disable_numparse=True)


def _nme(row: dict[str, Any]) -> str:
    """Mean and standard deviation over seeds, and how many of the runs collapsed or
    diverged."""
    sd = "" if row["sd"] is None else f" ± {row['sd']:.2f}"
    collapsed = f" ({row['collapsed']} collapsed)" if row["collapsed"] else ""
    return f"{row['nme']:.2f}{sd}{collapsed}"


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=user_path, help="300-W; without it synthetic faces")
    parser.add_argument("--db", type=user_path, default=DEFAULT_PATH, help="the store of the runs")
    parser.add_argument("--cache", type=user_path, help="of packed crops; default as `drf train`")
    parser.add_argument("--epochs", type=int, default=12, help="of each run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--first", type=int, help="only so many runs of the ablation")
    parser.add_argument("--quick", action="store_true", help="four runs on synthetic faces")
    parser.add_argument("--json", action="store_true")
    return parser


def main() -> None:
    parser = options()
    arguments = parser.parse_args()
    base = BASE | {"training.epochs": arguments.epochs}
    base["data.dataset"] = "300w" if arguments.data_root else "synthetic"
    with tempfile.TemporaryDirectory() as scratch:
        paths = Paths(arguments.db, arguments.data_root, None, arguments.cache)
        if arguments.quick:
            base |= QUICK | {"training.epochs": QUICK_EPOCHS}
            paths = Paths(Path(scratch) / "drf.db", None, None, Path(scratch))
        combinations = grid(quick=arguments.quick)[: arguments.first]
        try:
            run_all(combinations, base, paths, arguments.jobs)
        except DrfError as error:
            parser.exit(error.exit_code, f"{error}\n")
        except KeyboardInterrupt:
            parser.exit(130, "Stopped; the same command goes on.\n")
        rows = summary(combinations, base, paths.db)
    if arguments.json:
        print(json.dumps({"subset": SUBSET, "base": base, "rows": rows}))
    else:
        print(table(rows))


def run_all(
    combinations: Sequence[Combination], base: dict[str, object], paths: Paths, jobs: int
) -> None:
    """Train and evaluate all, telling on stderr of each."""
    open_store(paths.db).close()
    config = configure(combinations[0].request(base)).config
    load_packs(config, ("train", SUBSET), paths)  # once, before several runs would at a time
    for done, (combination, became) in enumerate(outcomes(combinations, base, paths, jobs), 1):
        line = f"{done} of {len(combinations)}: {combination.name}, seed {combination.seed}"
        print(f"{line}: {became}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
