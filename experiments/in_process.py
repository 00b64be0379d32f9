"""Trains many runs for a program (`benchmarks`): each in a process of its own, and none of them
twice.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from db import reads
from db.connection import open_reader
from drf.config import comparable
from drf.errors import DrfError
from drf.processes import end_with_parent, environment
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import Result, train_new_run


def train_in_process(
    request: Request, paths: Paths, name: str | None = None, threads: int = 1
) -> Result:
    """Train a new run in a process of its own, which has `threads` threads for arithmetic.

    OMP_NUM_THREADS counts only where it is set before torch is imported: hence a new process. May
    be called from several threads at a time, for as many runs. Raises the DrfError that
    `train_new_run` raises, DrfError where the process ends by anything else (its traceback is on
    stderr), and KeyboardInterrupt where the user stopped the run.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_send_result, args=(there, request, paths, name))
    with _ENVIRONMENT, environment({"OMP_NUM_THREADS": str(threads)}):
        process.start()
    there.close()
    answer: Result | BaseException | None = None
    try:
        with contextlib.suppress(EOFError):
            answer = here.recv()
    finally:
        process.join(None if answer else SECONDS_TO_END)
        process.terminate()  # nothing where it has ended
        process.join()
    if answer is None:
        called = name or request.preset
        raise DrfError(f"the training of {called} ended with exit code {process.exitcode}")
    if isinstance(answer, BaseException):
        raise answer
    if answer.outcome.state == "interrupted":
        raise KeyboardInterrupt
    return answer


SECONDS_TO_END = 10.0
"""How long a process that was interrupted has to record so, before it is asked once more."""


def _send_result(answer: Connection, request: Request, paths: Paths, name: str | None) -> None:
    """Send what `train_new_run` returns, or the error that the user should read."""
    end_with_parent()
    try:
        answer.send(train_new_run(request, paths, name))
    except (DrfError, KeyboardInterrupt) as error:
        answer.send(error)


_ENVIRONMENT = threading.Lock()


def find_finished(
    db: Path,
    family: str,
    config: Mapping[str, object],
    name: str,
    *,
    threads: int | None = None,
    statuses: Sequence[str] = ("finished",),
) -> str | None:
    """Return the newest run that is already there: same name, family and configuration, ended in
    one of the statuses. None without one, and without a store.

    config   flat, as `RunConfig.flat()` returns it: the seed is one of its keys
    threads  of the training, where they matter: with a budget in minutes they decide the result
    """
    if not db.exists():
        return None
    wanted = comparable(json.loads(json.dumps(dict(config))))
    with contextlib.closing(open_reader(db)) as reader:
        runs = reads.runs(reader)
        same = runs["name"].eq(name) & runs["family"].eq(family) & runs["status"].isin(statuses)
        for run in runs.loc[same, "id"]:
            stored = reads.run(reader, run)
            if threads not in (None, stored["provenance"].get("threads")):
                continue
            if comparable({key: value for key, value, _ in stored["config"]}) == wanted:
                return str(run)
    return None
