"""A true ablation: trees x depth x width of the labels x seeds, short runs, all in the store.

    python benchmarks/ablation.py --data-root data/300w [--db FILE] [--epochs 12] [--jobs 2]
    python benchmarks/ablation.py --quick           (synthetic faces, four runs, within a minute)

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
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from db.settings import settings

from db import entries, reads
from db.connection import open_reader, open_store
from db.file import DEFAULT_PATH
from drf.errors import DrfError
from drf.statistics import over_seeds
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.packs import load_packs
from experiments.paths import Paths
from experiments.request import Request, configure
from experiments.train import train_new_run

PRESET = "heatmap-forest"
SUBSET = "val"
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
            "model.sigma": self.sigma,
            "training.seed": self.seed,
        }
        return Request(PRESET, options=base | own)


def grid(*, quick: bool) -> list[Combination]:
    """Return what is trained, all of seed 0 before any of seed 1."""
    levels = ((1, 4), (3,), (1.0,)) if quick else (TREES, DEPTHS, SIGMAS)
    return [Combination(*level, seed) for seed in SEEDS for level in itertools.product(*levels)]


def finished(combinations: Sequence[Combination], base: dict[str, object], db: Path) -> list[str]:
    """Return for each combination the newest run that ended as it should, "" where there is none.

    A collapsed run is a result too: it would collapse again.
    """
    with contextlib.closing(open_reader(db)) as reader:
        runs = reads.runs(reader)
        ended = runs.loc[runs["status"].isin(("finished", "collapsed")), "id"]
        frame = settings(reader, list(ended))
    found = [""] * len(combinations)
    for number, combination in enumerate(combinations):
        config = configure(combination.request(base)).config
        wanted = {
            key: json.dumps(value, ensure_ascii=False) for key, value in config.flat().items()
        }
        wanted["family"] = json.dumps(config.family)
        if set(wanted) <= set(frame):
            same = frame[(frame[[*wanted]] == [*wanted.values()]).all(axis=1)]
            found[number] = str(same.index[0]) if len(same) else ""
    return found


def work(combination: Combination, run: str, base: dict[str, object], places: Paths) -> str:
    """Train a combination, unless `run` names its finished run, and evaluate it unless the store
    has that; return what became of it. A run that the user stops stops the script."""
    state = "finished"
    if not run:
        result = train_new_run(combination.request(base), places, combination.name)
        run, state = result.run, result.outcome.state
        if state == "interrupted":
            raise KeyboardInterrupt
    if evaluations(places.db, [run]):
        return "was there"
    entry = evaluate_run(run, EvaluationSpec(SUBSET), places)
    return f"{state}, NME {entry['ocular']['nme']:.2f} %"


def evaluations(db: Path, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the entries on the board of val, as `drf leaderboard --json` has them, by run."""
    with contextlib.closing(open_reader(db)) as reader:
        board = reads.leaderboard(reader, subset=SUBSET)
    rows = board[board["run"].isin(runs)].drop_duplicates("run").to_dict("records")
    return {row["run"]: entries.entry(row) | {"wall_s": row["wall_s"]} for row in rows}


def outcomes(
    combinations: Sequence[Combination], base: dict[str, object], places: Paths, jobs: int
) -> Iterator[tuple[Combination, str]]:
    """Do what is left to do, `jobs` at a time, and yield each with what became of it."""
    tasks = zip(combinations, finished(combinations, base, places.db), strict=True)
    if jobs == 1:
        for combination, run in tasks:
            yield combination, work(combination, run, base, places)
        return
    # Started afresh, not forked: the threads of torch do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(work, one, run, base, places): one for one, run in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def summary(combinations: Sequence[Combination], base: dict[str, object], db: Path) -> list[dict]:
    """Return one row per setting: means over its seeds, NME in percent with its deviation."""
    runs = finished(combinations, base, db)
    found = evaluations(db, runs)
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
                "ms_per_face": over_seeds([entry["ms_per_face"] for entry in seeds]).mean,
                "collapsed": sum(entry["status"] == "collapsed" for entry in seeds),
                "runs": [entry["run"] for entry in seeds],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the summary in Markdown."""
    lines = [
        "| trees | depth | sigma | seeds | NME % ocular | pupil | M params | MMACs | min | ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.2f}"
        fallen = f" ({row['collapsed']} collapsed)" if row["collapsed"] else ""
        lines.append(
            f"| {row['trees']} | {row['depth']} | {row['sigma']:g} | {row['seeds']}"
            f" | {row['nme']:.2f}{spread}{fallen} | {row['pupil']:.2f} | {row['params'] / 1e6:.2f}"
            f" | {row['macs'] / 1e6:.0f} | {row['minutes']:.1f} | {row['ms_per_face']:.2f} |"
        )
    return "\n".join(lines)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="300-W; without it synthetic faces")
    parser.add_argument("--db", type=Path, default=DEFAULT_PATH, help="the store of the runs")
    parser.add_argument("--cache", type=Path, help="of packed crops; default as `drf train`")
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
        places = Paths(arguments.db, arguments.data_root, None, arguments.cache)
        if arguments.quick:
            base |= QUICK | {"training.epochs": QUICK_EPOCHS}
            places = Paths(Path(scratch) / "drf.db", None, None, Path(scratch))
        combinations = grid(quick=arguments.quick)[: arguments.first]
        try:
            run_all(combinations, base, places, arguments.jobs)
        except DrfError as error:
            parser.exit(error.exit_code, f"{error}\n")
        except KeyboardInterrupt:
            parser.exit(130, "Stopped; the same command goes on.\n")
        rows = summary(combinations, base, places.db)
    if arguments.json:
        print(json.dumps({"subset": SUBSET, "base": base, "rows": rows}))
    else:
        print(table(rows))


def run_all(
    combinations: Sequence[Combination], base: dict[str, object], places: Paths, jobs: int
) -> None:
    """Train and evaluate all, telling on stderr of each."""
    open_store(places.db).close()
    config = configure(combinations[0].request(base)).config
    load_packs(config, ("train", SUBSET), places)  # once, before several runs would at a time
    for done, (combination, became) in enumerate(outcomes(combinations, base, places, jobs), 1):
        line = f"{done} of {len(combinations)}: {combination.name}, seed {combination.seed}"
        print(f"{line}: {became}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
