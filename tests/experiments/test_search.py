"""A search trains what Optuna proposes of a grid, and ends what falls behind."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from db.connection import open_reader, open_store
from db.recording import words
from db.recording.runs import end_run, start_run
from drf.errors import UsageError
from experiments.paths import Paths
from experiments.sweeps import search as searches
from experiments.sweeps.driver import missing
from experiments.sweeps.grid import Grid, Job, parse
from experiments.sweeps.local import Local
from tests.db import examples

pytest.importorskip("optuna", reason="optuna is not installed: pip install drf[search]")

TINY = {
    "preset": "mean-shape",
    "dataset": "synthetic",
    "epochs": 1,
    "settings": {"data": {"synthetic_train_size": 12, "input_size": 64}},
    "factors": {"data": {"max_train_faces": [2, 4, 8]}},
}


@pytest.fixture
def paths(tmp_path: Path, few_faces: object) -> Paths:
    return Paths(tmp_path / "drf.db", None, None, None)


@dataclass
class Asked:
    """A trial of Optuna's that gives up a run whose NME is above a half."""

    heard: list[tuple[float, int]] = field(default_factory=list)

    def report(self, nme: float, epoch: int) -> None:
        self.heard.append((nme, epoch))

    def should_prune(self) -> bool:
        return self.heard[-1][0] > 0.5


@dataclass
class Process:
    """A process that trains until it is told to end."""

    alive: bool = True

    def is_alive(self) -> bool:
        return self.alive

    def terminate(self) -> None:
        self.alive = False


def record(paths: Paths, job: Job, nmes: list[float], state: str = "finished") -> None:
    """Record the run of a job as one that reached these NMEs, epoch by epoch."""
    with contextlib.closing(open_store(paths.db)) as store:
        run = start_run(store, examples.new_run(), job.id)
        for epoch, nme in enumerate(nmes):
            store.execute(
                "INSERT INTO epochs VALUES (?, ?, 'val_nme_ocular', ?)", [run, epoch, nme]
            )
        kept = {"kept_epoch": len(nmes) - 1, "kept_val_nme": nmes[-1]}
        reason = None if state == "finished" else "by the user"
        end_run(store, run, state, reason=reason, wall_s=1.0, faces_per_s=1.0, **kept)


def test_a_run_that_falls_behind_is_ended_and_others_are_not(paths: Paths) -> None:
    jobs = parse(TINY, "tiny").jobs()
    record(paths, jobs[0], [0.9, 0.4, 0.3])
    record(paths, jobs[1], [0.9, 0.6])
    good, bad = (searches._Trial(Asked(), job, Process(), {}) for job in jobs[:2])  # type: ignore[arg-type]
    for one in (good, good, bad):
        searches._look(one, paths)
    assert good.asked.heard == [(0.4, 1), (0.3, 2)]  # each epoch once, and not that before training
    assert (good.pruned, good.process.is_alive()) == (False, True)
    assert (bad.pruned, bad.process.is_alive()) == (True, False)


def test_what_the_store_knows_is_not_trained_again_and_counts(paths: Paths) -> None:
    grid = parse(TINY | {"factors": {"data": {"max_train_faces": [2, 3, 4, 8]}}}, "tiny")
    done, pruned, *untried = grid.jobs()
    record(paths, done, [0.9, 0.2])
    record(paths, pruned, [0.9, 0.6], "interrupted")
    with contextlib.closing(open_store(paths.db)) as store:
        words.add_tags(store, pruned.id, [searches.PRUNED])
    space = searches._Space(grid)
    space.remember(paths, {pruned.id, *(job.id for job in untried)})
    trials = space._study.get_trials()
    assert [(one.state.name, one.value) for one in trials] == [("COMPLETE", 0.2), ("PRUNED", None)]
    assert space.best() == done
    proposed: list[Any] = [space.propose()[1] for _ in untried]
    assert {job.id for job in proposed} == {job.id for job in untried}
    assert not space.untried


def test_a_run_that_collapsed_is_no_trial_again(paths: Paths) -> None:
    grid = parse(TINY, "tiny")
    done, collapsed, untried = grid.jobs()
    record(paths, done, [0.9, 0.2])
    record(paths, collapsed, [0.9, 0.9], "collapsed")
    space = searches._Space(grid)
    space.remember(paths, {untried.id})
    assert list(space.untried.values()) == [untried]
    assert [one.value for one in space._study.get_trials()] == [0.2]


def test_a_search_trains_so_many_and_goes_on_when_it_is_called_again(paths: Paths) -> None:
    grid = parse(TINY, "tiny")
    said: list[str] = []
    assert searches.search(grid, 2, Local(2, 1), paths, said.append) is not None
    assert len(said) == 2
    best = searches.search(grid, 5, Local(2, 1), paths, said.append)
    assert len(said) == 3  # the grid has three
    with contextlib.closing(open_reader(paths.db)) as con:
        reached = dict(con.execute("SELECT id, kept_val_nme FROM runs"))
    assert len(reached) == 3
    assert best is not None
    assert reached[best.id] == min(reached.values())
    assert not missing(grid, paths)[0]


def test_one_combination_is_no_space_to_search_in(paths: Paths) -> None:
    grid = Grid("one", preset="mean-shape")
    with pytest.raises(UsageError, match="one combination"):
        searches.search(grid, 1, Local(1, 1), paths, print)
