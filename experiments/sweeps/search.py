"""A search in a grid by Optuna (`pip install drf[search]`): the best of it, by fewer trainings.

The space is that of the grid file: each factor is a choice among its values, at the first of the
seeds. Optuna proposes the next combination from what the others reached, and a run whose validation
NME is worse than the median of the others at the same epoch is ended: it keeps its checkpoint and
gets the tag `pruned`. What the store has already counts, so that a search that is called again goes
on with all that is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from db import reads
from db.connection import open_reader, open_store
from db.recording import words
from drf.errors import NotFoundError, UsageError
from experiments.paths import Paths
from experiments.sweeps import local
from experiments.sweeps.driver import missing, outcome
from experiments.sweeps.grid import Grid, Job
from experiments.sweeps.local import Local, Slot

PRUNED = "pruned"
"""Tag of a run that was ended because others were better at the same epoch."""
_LOOK_EVERY_S = 1.0
_PROPOSALS = 50
"""How often Optuna may propose what is excluded or was tried, before the next untried one is."""
_FIRST_TRIALS = 4
"""Runs that nothing is compared with: they are drawn at random and trained to their end."""


@dataclass
class _Trial:
    """A combination that is being trained. told: the last epoch that Optuna has heard of."""

    asked: Any
    job: Job
    process: BaseProcess
    slot: Slot
    told: int = 0
    pruned: bool = False


def search(
    grid: Grid, trials: int, engine: Local, paths: Paths, say: Callable[[str], None]
) -> Job | None:
    """Train so many combinations of a grid as Optuna proposes; return the best one in the store,
    None where none has ended well.

    A sentence is said for each that ends. An interrupt (Ctrl-C) lets all running ones save what
    they have. Raises UsageError for a grid that makes no sense or has one combination, and where
    Optuna is not installed.
    """
    space = _Space(grid)
    left, _ = missing(grid, paths)
    space.remember(paths, {job.id for job in left})
    free, running, begun = engine.slots(), list[_Trial](), 0
    try:
        while True:
            while free and begun < trials and space.untried:
                asked, job = space.propose()
                slot = free.pop(0)
                running.append(_Trial(asked, job, local.start(job, paths, slot), slot))
                begun += 1
            if not running:
                return space.best()
            wait([one.process.sentinel for one in running], timeout=_LOOK_EVERY_S)
            for one in list(running):
                ended = not one.process.is_alive()
                _look(one, paths)
                if ended:
                    running.remove(one)
                    free.append(one.slot)
                    space.tell(one, paths)
                    name = f"{one.job.name}, seed {one.job.seed}"
                    how = PRUNED if one.pruned else outcome(one.job, paths.db)
                    say(f"{begun - len(running)} of {trials}: {name}: {how}")
    finally:
        local.end([one.process for one in running])


class _Space:
    """The combinations of a grid at its first seed, and Optuna's study of them."""

    def __init__(self, grid: Grid) -> None:
        self._optuna = optuna = _optuna()
        jobs = [job for job in grid.jobs() if job.seed == grid.seeds[0]]
        if len(jobs) < 2:
            raise UsageError(f"the grid {grid.name} has one combination: nothing to search in")
        values = {key: list(of) for key, of in grid.factors.items()}
        self._jobs = {
            tuple(values[key].index(value) for key, value in job.factors.items()): job
            for job in jobs
        }
        # By their places: a value may be a list, which Optuna takes for no choice.
        choices = optuna.distributions.CategoricalDistribution
        self._factors = {key: choices(list(range(len(of)))) for key, of in values.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(
                seed=grid.seeds[0], n_startup_trials=_FIRST_TRIALS, constant_liar=True
            ),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST_TRIALS, n_min_trials=3),
        )
        self.untried = dict(self._jobs)
        self._nmes: dict[str, float] = {}

    def remember(self, paths: Paths, undone: set[str]) -> None:
        """Tell the study of runs that are in the store, ended or pruned."""
        state = self._optuna.trial.TrialState
        with contextlib.closing(open_reader(paths.db)) as con:
            said = words.of_runs(con)
            for places, job in self._jobs.items():
                curve = _curve(con, job.id)
                pruned = job.id in said and PRUNED in said[job.id].tags
                nme = None if job.id in undone else _kept_nme(con, job.id)
                known = nme is not None or (pruned and bool(curve))
                if known or job.id not in undone:  # one that collapsed would collapse again
                    del self.untried[places]
                if not known:
                    continue
                if nme is not None:
                    self._nmes[job.id] = nme
                self._study.add_trial(
                    self._optuna.trial.create_trial(
                        state=state.PRUNED if nme is None else state.COMPLETE,
                        value=nme,
                        params=dict(zip(self._factors, places, strict=True)),
                        distributions=self._factors,
                        intermediate_values=curve,
                    )
                )

    def propose(self) -> tuple[Any, Job]:
        """Return Optuna's trial and the untried job that it asks for."""
        for _ in range(_PROPOSALS):
            asked = self._study.ask(self._factors)
            job = self.untried.pop(tuple(asked.params[key] for key in self._factors), None)
            if job is not None:
                return asked, job
            self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)
        places, job = next(iter(self.untried.items()))
        del self.untried[places]
        self._study.enqueue_trial(dict(zip(self._factors, places, strict=True)))
        return self._study.ask(self._factors), job

    def tell(self, one: _Trial, paths: Paths) -> None:
        """Tell the study how a trial ended, and the store which run was pruned."""
        state = self._optuna.trial.TrialState
        with contextlib.closing(open_reader(paths.db)) as con:
            nme = _kept_nme(con, one.job.id)
        if nme is not None:  # even if it was to be ended: it was faster
            self._nmes[one.job.id] = nme
            self._study.tell(one.asked, nme)
        elif one.pruned:
            with contextlib.closing(open_store(paths.db)) as store:
                words.add_tags(store, one.job.id, [PRUNED])
            self._study.tell(one.asked, state=state.PRUNED)
        else:
            self._study.tell(one.asked, state=state.FAIL)

    def best(self) -> Job | None:
        """Return the job with the lowest validation NME of those that ended."""
        known = [job for job in self._jobs.values() if job.id in self._nmes]
        return min(known, key=lambda job: self._nmes[job.id], default=None)


def _look(one: _Trial, paths: Paths) -> None:
    """Tell Optuna the epochs that a run has finished since; end one that it gives up."""
    with contextlib.closing(open_reader(paths.db)) as con:
        new = [(epoch, nme) for epoch, nme in _curve(con, one.job.id).items() if epoch > one.told]
    for epoch, nme in new:
        one.asked.report(nme, epoch)
        one.told = epoch
        if not one.pruned and one.process.is_alive() and one.asked.should_prune():
            one.pruned = True
            one.process.terminate()


def _curve(con: Any, run: str) -> dict[int, float]:
    """Return `reads.validation_nmes` without epoch 0, which is before the first step."""
    return {epoch: nme for epoch, nme in reads.validation_nmes(con, run).items() if epoch > 0}


def _kept_nme(con: Any, run: str) -> float | None:
    try:
        found = reads.run(con, run)
    except NotFoundError:
        return None
    return found["kept_val_nme"] if found["status"] == "finished" else None


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "`drf sweep search` needs the package optuna: pip install drf[search]"
        ) from error
    return optuna
