"""The folder of a job and the store: whichever is further stays, and nobody overwrites another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from db import file, reads
from db.connection import open_reader, open_store
from db.file import run_folder
from db.recording.record import RECORD, find_record, open_record
from db.recording.runs import LostRun, start_run
from drf.errors import DrfError, UsageError
from drf.files import BEST, LAST
from experiments.paths import Paths, recover_run
from experiments.sweeps import on_slurm
from experiments.sweeps import work as works
from experiments.sweeps.grid import Grid, Job, parse
from experiments.sweeps.on_ray import FOLDER, OnRay
from experiments.sweeps.on_slurm import Needs, gather_all, submit
from experiments.sweeps.work import STORE, gather, hand_out, work, work_in_folder
from tests.db import examples
from tests.experiments import ray_here

FIRST, SECOND = "2026-11-01T10:00:00.000Z", "2026-11-02T10:00:00.000Z"
TINY = {
    "preset": "mean-shape",
    "dataset": "synthetic",
    "epochs": 1,
    "seeds": [0],
    "settings": {"data": {"synthetic_train_size": 12, "input_size": 64}},
    "factors": {"data": {"max_train_faces": [4, 8]}},
}


@pytest.fixture
def paths(tmp_path: Path, few_faces: object) -> Paths:
    return Paths(tmp_path / "drf.db", None, None, None)


@pytest.fixture
def grid() -> Grid:
    return parse(TINY, "tiny")


@pytest.fixture
def jobs(grid: Grid) -> list[Job]:
    return grid.jobs()


def put(
    db: Path,
    run: str,
    *,
    claim: int = 1,
    epochs: int = 0,
    state: str = "interrupted",
    began: str = FIRST,
    kept: bool = True,
) -> str:
    """Give a store a run that another machine has trained so far, in place of what it has of it;
    return the text of its checkpoints. kept: whether it has any."""
    with contextlib.closing(open_store(db)) as store:
        store.execute("DELETE FROM runs WHERE id = ?", [run])
        start_run(store, examples.new_run(), run)
        store.execute(
            "UPDATE runs SET claim = ?, state = ?, started_at = ?, host = 'elsewhere',"
            " ended_at = iif(? = 'running', NULL, ?)",
            [claim, state, began, state, file.now()],
        )
        for epoch in range(epochs + 1):
            store.execute("INSERT INTO epochs VALUES (?, ?, 'loss', 0.5)", [run, epoch])
    text = f"{began}, claim {claim}, epoch {epochs}"
    folder = run_folder(db, run)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (BEST, LAST):
        (folder / name).unlink(missing_ok=True)
        if kept:
            (folder / name).write_text(text)
    return text


def held(db: Path, run: str) -> tuple[str, int, int, str]:
    """What a store has of a run: when it began, its claim, its last epoch, its checkpoint."""
    with contextlib.closing(open_reader(db)) as con:
        row = reads.run(con, run)
        (epoch,) = con.execute("SELECT max(epoch) FROM epochs WHERE run = ?", [run]).fetchone()
    last = run_folder(db, run) / LAST
    return row["started_at"], row["claim"], epoch, last.read_text() if last.is_file() else ""


FURTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"claim": 1, "epochs": 2}, {"claim": 2, "epochs": 5}),
    ({"claim": 1, "epochs": 2}, {"claim": 1, "epochs": 3}),
    ({"claim": 1, "epochs": 9}, {"claim": 2, "epochs": 5}),
    ({"began": SECOND, "kept": False, "state": "failed"}, {"claim": 2, "epochs": 3}),
    ({"began": FIRST, "kept": False, "state": "failed"}, {"began": SECOND, "epochs": 1}),
]
"""States of a job, each with one that is further. Without a checkpoint nothing is to go on from."""


@pytest.mark.parametrize(("less", "more"), FURTHER)
def test_what_is_further_stays_in_the_folder_of_a_job(
    paths: Paths, jobs: list[Job], tmp_path: Path, less: dict[str, Any], more: dict[str, Any]
) -> None:
    job, root = jobs[0], tmp_path / "jobs"
    put(paths.db, job.id, **less)
    put(root / job.id / STORE, job.id, **more)
    before = held(root / job.id / STORE, job.id)
    assert hand_out([job], root, paths.db) == [job]
    assert held(root / job.id / STORE, job.id) == before


@pytest.mark.parametrize(("less", "more"), FURTHER)
def test_what_is_further_in_the_store_is_handed_out(
    paths: Paths, jobs: list[Job], tmp_path: Path, less: dict[str, Any], more: dict[str, Any]
) -> None:
    job, root = jobs[0], tmp_path / "jobs"
    put(paths.db, job.id, **more)
    put(root / job.id / STORE, job.id, **less)
    assert hand_out([job], root, paths.db) == [job]
    assert held(root / job.id / STORE, job.id) == held(paths.db, job.id)


@pytest.mark.parametrize(("less", "more"), FURTHER)
def test_what_is_further_in_the_store_stays_when_older_is_gathered(
    paths: Paths, jobs: list[Job], tmp_path: Path, less: dict[str, Any], more: dict[str, Any]
) -> None:
    run, folder = jobs[0].id, tmp_path / "jobs" / jobs[0].id
    put(paths.db, run, **more)
    put(folder / STORE, run, **less)
    before = held(paths.db, run)
    for _ in range(2):
        assert gather(folder, run, paths.db)
        assert held(paths.db, run) == before


@pytest.mark.parametrize(("less", "more"), FURTHER)
def test_what_is_further_is_gathered_with_its_files_and_a_record_of_its_own(
    paths: Paths, jobs: list[Job], tmp_path: Path, less: dict[str, Any], more: dict[str, Any]
) -> None:
    run, folder = jobs[0].id, tmp_path / "jobs" / jobs[0].id
    put(paths.db, run, **less)
    with contextlib.closing(open_store(paths.db)) as store:
        open_record(run_folder(paths.db, run), store, run).close()
    put(folder / STORE, run, **more)
    for _ in range(2):
        assert gather(folder, run, paths.db)
        assert held(paths.db, run) == held(folder / STORE, run)
    record, _ = find_record(run_folder(paths.db, run))
    record.close()
    assert held(run_folder(paths.db, run) / RECORD, run)[:3] == held(paths.db, run)[:3]


def test_a_folder_that_is_written_stays_as_it_is(
    paths: Paths, jobs: list[Job], tmp_path: Path
) -> None:
    job, root = jobs[0], tmp_path / "jobs"
    put(paths.db, job.id, claim=3, epochs=9)
    put(root / job.id / STORE, job.id, claim=2, epochs=5, state="running")
    before = held(root / job.id / STORE, job.id)
    assert hand_out([job], root, paths.db) == [job]
    assert held(root / job.id / STORE, job.id) == before


def test_every_reason_but_that_a_job_runs_is_reported(
    paths: Paths, jobs: list[Job], tmp_path: Path
) -> None:
    root = tmp_path / "jobs"
    one, other = (job.id for job in jobs)
    runs_here = "e" * 32
    put(root / one / STORE, one, state="running")
    put(paths.db, other, epochs=3)
    put(root / other / STORE, other, epochs=3, began=SECOND)  # two runs, each with its checkpoint
    put(root / runs_here / STORE, runs_here)
    (root / ("f" * 32)).mkdir()  # it waits
    with contextlib.closing(open_store(paths.db)) as store:
        start_run(store, examples.new_run(), runs_here)  # by this process
    brought, left, refused = gather_all(root, paths.db)
    assert (brought, left) == (0, 3)
    assert [f"another run under the id {other}" in said for said in refused] == [True]


@pytest.fixture
def lost(paths: Paths, jobs: list[Job]) -> Path:
    """The folder of a finished job whose store was lost."""
    work(jobs[0], paths)
    paths.db.unlink()
    open_store(paths.db).close()
    return run_folder(paths.db, jobs[0].id)


def test_a_run_that_the_store_lost_is_not_trained_over(
    paths: Paths,
    jobs: list[Job],
    lost: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (lost / BEST).read_bytes()
    with pytest.raises(UsageError, match=f"drf runs recover {lost}"):
        work(jobs[0], paths)
    assert hand_out(jobs, tmp_path / "jobs", paths.db) == jobs[1:]
    assert f"drf runs recover {lost}" in capsys.readouterr().err
    put(tmp_path / "jobs" / jobs[0].id / STORE, jobs[0].id)
    with pytest.raises(UsageError, match=f"drf runs recover {lost}"):
        gather(tmp_path / "jobs" / jobs[0].id, jobs[0].id, paths.db)
    assert (lost / BEST).read_bytes() == before
    recover_run(lost, paths.db)
    work(jobs[0], paths)  # there is nothing to do
    assert (lost / BEST).read_bytes() == before


def test_a_job_that_is_trained_elsewhere_is_left_out_on_ray(
    paths: Paths,
    jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ray_here.install(monkeypatch)
    put(paths.db, jobs[0].id, state="running")
    assert list(OnRay(jobs=1).run(jobs, paths)) == jobs[1:]
    assert "trains it" in capsys.readouterr().err
    with contextlib.closing(open_reader(paths.db)) as con:
        assert reads.run(con, jobs[1].id)["status"] == "finished"
    assert not (paths.db.parent / FOLDER / jobs[0].id).exists()


def test_a_job_that_is_being_trained_is_not_submitted(
    paths: Paths,
    grid: Grid,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    class Executor:
        """Executor of submitit that says which folders it was given."""

        def update_parameters(self, **_: object) -> None: ...

        @contextlib.contextmanager
        def batch(self) -> Iterator[None]:
            yield

        def submit(self, work: object, job: Job, folder: Path, paths: Paths) -> Path:
            return folder

    fake = SimpleNamespace(AutoExecutor=lambda *_, **__: Executor())
    monkeypatch.setattr(on_slurm, "_submitit", lambda: fake)
    grid = replace(grid, seeds=[0, 1])
    here, there, *others = grid.jobs()
    root = tmp_path / "jobs"
    put(paths.db, here.id, state="running")
    put(root / there.id / STORE, there.id, state="running")
    submitted = submit(grid, root, paths, Needs(None, 1.0, 1, 0))
    assert submitted == [root / job.id for job in others]
    assert capsys.readouterr().err.count("trains it") == 2
    assert not (root / here.id).exists()  # `gather_all` would wait for it


def test_no_batch_begins_where_nothing_is_left(
    paths: Paths, grid: Grid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """submitit warns of an empty one."""
    executor = SimpleNamespace(update_parameters=lambda **_: None)
    fake = SimpleNamespace(AutoExecutor=lambda *_, **__: executor)
    monkeypatch.setattr(on_slurm, "_submitit", lambda: fake)
    monkeypatch.setattr(on_slurm, "missing", lambda *_: ([], 2))
    assert submit(grid, tmp_path / "jobs", paths, Needs(None, 1.0, 1, 0)) == []


def wait_until(done: Any) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_is_published_as_soon_as_it_begins_and_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(works, "LOOK_EVERY_S", 0.05)
    run, folder = "a" * 32, tmp_path / "folder"
    scratch = tmp_path / "scratch" / STORE

    def train() -> None:
        with contextlib.closing(open_store(scratch)) as store:
            start_run(store, examples.new_run(), run)
            wait_until(lambda: works.why_written(run, folder / STORE))  # before 20 s have gone
            put(folder / STORE, run, claim=2, state="running")
            store.execute("UPDATE runs SET claim = 3")  # so that it is published again

    with (
        pytest.raises(LostRun, match="on elsewhere goes on"),
        works._published(scratch, folder, run, None),
    ):
        train()
    assert held(folder / STORE, run)[1] == 2


@pytest.mark.parametrize("began", [FIRST, SECOND])
def test_of_two_that_begin_a_job_at_once_the_first_to_publish_goes_on(
    tmp_path: Path, began: str
) -> None:
    run, folder = "a" * 32, tmp_path / "folder"
    scratch = tmp_path / "scratch" / STORE
    text = put(folder / STORE, run, claim=2, state="running")
    put(scratch, run, claim=2, epochs=4, began=began)
    with contextlib.closing(open_store(scratch)) as store:
        store.execute("UPDATE runs SET pid = pid + 1")
    with pytest.raises(LostRun, match="goes on"):
        works._publish(scratch, folder, run, {None})
    assert held(folder / STORE, run) == (FIRST, 2, 0, text)


def test_checkpoints_are_copied_when_they_change(tmp_path: Path) -> None:
    run, folder = "a" * 32, tmp_path / "folder"
    scratch = tmp_path / "scratch" / STORE
    put(scratch, run)
    last = run_folder(folder / STORE, run) / LAST
    numbers = []
    for epochs in (0, 0, 1):
        if epochs:
            put(scratch, run, epochs=epochs)
        works._publish(scratch, folder, run, {None, works._owner(works.run_in(scratch, run))})
        numbers.append(last.stat().st_ino)
        assert held(folder / STORE, run) == held(scratch, run)
    assert numbers[0] == numbers[1]


def fail(times: int) -> Any:
    """`back_up` that fails so many times."""
    left = iter(range(times))

    def back_up(con: Any, target: Path) -> None:
        if next(left, None) is not None:
            raise OSError(28, "No space left on device", str(target))
        real(con, target)

    real = works.back_up
    return back_up


@pytest.mark.parametrize("jobs", [parse(TINY, "tiny").jobs()[:1]], ids=["one job"])
def test_a_copy_that_fails_in_the_end_is_tried_again_or_kept(
    paths: Paths, jobs: Sequence[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(works.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(works, "LOOK_EVERY_S", 0.01)
    (job,), folder = jobs, tmp_path / "folder"
    monkeypatch.setattr(works, "TRY_FOR_S", 0.0)
    with monkeypatch.context() as full:
        full.setattr(works, "back_up", fail(10_000))
        with pytest.raises(DrfError, match="no space left") as raised:
            work_in_folder(job, folder, paths)
    (place,) = tmp_path.glob(f"*-kept/**/{RECORD}")
    assert f"`drf runs recover {place.parent}`" in str(raised.value)
    assert recover_run(place.parent, paths.db) == job.id
    with contextlib.closing(open_reader(paths.db)) as con:
        assert reads.run(con, job.id)["status"] == "finished"
        assert len(reads.evaluations(con, job.id)) == 1
    monkeypatch.setattr(works, "TRY_FOR_S", 60.0)
    monkeypatch.setattr(works, "back_up", fail(3))
    work_in_folder(job, folder, paths)
    assert gather(folder, job.id, tmp_path / "other.db")
    assert len(list(tmp_path.glob("tmp*"))) == 1  # that which was kept
