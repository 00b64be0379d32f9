"""A grid file becomes jobs, each job one run, and what is there is not made again."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from db import reads, status
from db.analysis import ablation
from db.connection import open_reader, open_store
from db.file import run_folder
from db.recording import sweeps
from db.recording.evaluations import record_evaluation
from db.recording.runs import end_run, start_run
from drf.errors import DrfError, NotFoundError, UsageError
from experiments.paths import Paths
from experiments.request import configure
from experiments.sweeps import grid as grids
from experiments.sweeps import on_ray
from experiments.sweeps import work as works
from experiments.sweeps.driver import outcome, run_sweep
from experiments.sweeps.grid import Job, parse
from experiments.sweeps.on_ray import FOLDER, OnRay
from experiments.sweeps.on_slurm import gather_all
from experiments.sweeps.work import STORE, gather, work, work_in_folder
from tests.db import examples
from tests.experiments import ray_here

SHARED = {"data": {"synthetic_train_size": 12, "input_size": 64}}
TINY = {
    "preset": "mean-shape",
    "dataset": "synthetic",
    "epochs": 1,
    "seeds": [0, 1],
    "settings": SHARED,
    "factors": {"data": {"max_train_faces": [4, 8]}},
}
FOREST = {"preset": "heatmap-forest", "epochs": 2, "factors": {"model": {"trees": [1, 2, 4]}}}


class InThisProcess:
    """An engine that brings jobs to their end one after another, and counts them."""

    def __init__(self) -> None:
        self.worked: list[str] = []

    def run(self, jobs: Sequence[Job], paths: Paths) -> Iterator[Job]:
        for job in jobs:
            work(job, paths)
            self.worked.append(job.id)
            yield job


@pytest.fixture
def paths(tmp_path: Path, few_faces: object) -> Paths:
    return Paths(tmp_path / "drf.db", None, None, None)


def test_a_grid_is_every_combination_for_every_seed_but_what_is_excluded() -> None:
    document = FOREST | {"seeds": [0, 3], "exclude": [{"model": {"trees": 4, "tree_depth": 2}}]}
    document["factors"] = {"model": {"trees": [1, 2, 4], "tree_depth": [2, 3]}}
    jobs = parse(document, "g").jobs()
    held = [(job.seed, *job.factors.values()) for job in jobs]
    each = [(1, 2), (1, 3), (2, 2), (2, 3), (4, 3)]
    assert held == [(seed, *one) for seed in (0, 3) for one in each]
    assert jobs[0].name == "g: trees 1, tree_depth 2"
    assert len({job.id for job in jobs}) == len(jobs)
    config = configure(jobs[-1].request).config
    assert (config.model.trees, config.training.seed, config.training.epochs) == (4, 3, 2)


def test_the_same_experiment_is_the_same_job_whatever_grid_and_machine_ask_for_it() -> None:
    (one, *_) = parse(FOREST, "one").jobs()
    other = {"preset": "heatmap-forest", "epochs": 2, "settings": {"model.trees": 1}}
    assert one.id == parse(other, "other").jobs()[0].id
    on_cpu = parse(other | {"settings": {"model.trees": 1, "training.device": "cpu"}}, "x").jobs()
    assert on_cpu[0].id == one.id
    longer = parse(other | {"epochs": 3}, "x").jobs()
    assert longer[0].id != one.id
    twice = parse(FOREST | {"factors": {"model": {"trees": [1, 1]}}}, "x").jobs()
    assert len(twice) == 1


def test_a_budget_in_minutes_is_one() -> None:
    (job,) = parse({"preset": "hourglass", "max_minutes": 2}, "g").jobs()
    training = configure(job.request).config.training
    assert (training.epochs, training.max_minutes) == (0, 2.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": ""}, "names a preset"),
        ({"preset": 3}, "preset of a grid takes"),
        ({"sedes": [1]}, "did you mean 'seeds'"),
        ({"seeds": []}, "at least one"),
        ({"seeds": ["a"]}, "list of whole numbers"),
        ({"max_minutes": 1.0}, "not both"),
        ({"factors": {"model": {"trees": 3}}}, "takes a list"),
        ({"factors": {"model": {"tree": [3]}}}, "did you mean 'model.trees'"),
        ({"factors": {"model": {"trees": ["many"]}}}, "takes a whole number"),
        ({"factors": {"training": {"seed": [1]}}}, "names its seeds"),
        ({"settings": {"data": {"box": "file"}}}, "no boxes of a file"),
        ({"exclude": [{"model": {"depth": 3}}]}, "excluded but no factor"),
        ({"exclude": [{"model": {"trees": n}} for n in (1, 2, 4)]}, "has no job"),
        ({"factors": {"model": {"trees": list(range(1, 20_000))}}}, "too large"),
    ],
)
def test_what_makes_no_grid_is_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(FOREST | change, "g").jobs()


def test_every_grid_that_comes_with_drf_makes_jobs() -> None:
    assert grids.names()
    for name in grids.names():
        grid = grids.load(name)
        assert grid.summary.endswith(".")
        assert len(grid.jobs()) > 1


def test_a_grid_file_may_lie_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text('preset = "mean-shape"\n')
    assert grids.load("~/mine.toml").name == "mine"


def test_a_sweep_does_what_is_missing_and_no_more(paths: Paths) -> None:
    grid, said = parse(TINY, "tiny"), list[str]()
    first = InThisProcess()
    run_sweep(grid, first, paths, said.append)
    assert len(first.worked) == 4
    assert said[-1].startswith("4 of 4: tiny: max_train_faces 8, seed 1: finished")
    more = parse(TINY | {"factors": {"data": {"max_train_faces": [4, 8, 12]}}}, "tiny")
    second = InThisProcess()
    run_sweep(more, second, paths, said.append)
    assert len(second.worked) == 2
    assert not set(second.worked) & set(first.worked)
    with contextlib.closing(open_reader(paths.db)) as con:
        assert len(reads.runs(con)) == 6
        jobs = sweeps.jobs(con, "tiny")
        assert set(jobs["condition"]) == {"finished"}
        assert sweeps.left(jobs).empty
        found = ablation.of_sweep(con, "tiny")
        board = reads.leaderboard(con, subset="val")
    assert found.keys == ["data.max_train_faces"]
    assert list(found.rows["value_0"]) == ["4", "8", "12"]
    assert list(found.rows["seeds"]) == [2, 2, 2]
    for row in found.rows.to_dict("records"):
        mine = board[board["run"].str[:8].isin(row["ids"].split())]["ocular_nme"]
        assert row["nme"] == pytest.approx(mine.mean())


def test_a_job_that_was_cut_off_before_its_first_checkpoint_begins_anew(paths: Paths) -> None:
    (job, *_) = parse(TINY, "tiny").jobs()
    with contextlib.closing(open_store(paths.db)) as store:
        start_run(store, examples.new_run(seed=0), job.id)
        ended = "UPDATE runs SET state = 'failed', ended_at = started_at"
        store.execute(ended)
        store.conn.commit()
        with pytest.raises(UsageError, match="in the store already"):
            start_run(store, examples.new_run(seed=0), job.id)
    left_over = run_folder(paths.db, job.id) / "odd"
    left_over.mkdir(parents=True)
    work(job, paths)
    assert not left_over.exists()
    with contextlib.closing(open_reader(paths.db)) as con:
        assert reads.run(con, job.id)["status"] == "finished"
        assert len(reads.evaluations(con, job.id)) == 1


def test_jobs_of_folders_are_gathered_any_number_of_times(
    paths: Paths, few_faces: dict[str, int], tmp_path: Path
) -> None:
    (job, *_) = parse(TINY, "tiny").jobs()
    folder = tmp_path / "jobs" / job.id
    assert not gather(folder, job.id, paths.db)
    work_in_folder(job, folder, paths)
    for _ in range(2):
        assert gather(folder, job.id, paths.db)
    with contextlib.closing(open_reader(paths.db)) as con:
        assert reads.run(con, job.id)["status"] == "finished"
        assert len(reads.evaluations(con, job.id)) == 1
        pictures = con.execute("SELECT count(*) FROM faces WHERE crop IS NOT NULL").fetchone()
    assert pictures == (few_faces["val"],)
    assert (run_folder(paths.db, job.id) / "best.safetensors").is_file()


def test_the_time_left_follows_from_what_is_done() -> None:
    jobs = pd.DataFrame(
        {
            "condition": ["finished", "finished", "running", "running", "missing"],
            "progress": [1.0, 1.0, 0.5, 0.25, 0.0],
            "wall_s": [100.0, 300.0, math.nan, math.nan, math.nan],
        }
    )
    assert sweeps.seconds_left(jobs) == pytest.approx(200 * (0.5 + 0.75 + 1.0) / 2)
    assert sweeps.seconds_left(jobs[2:]) is None


def test_a_job_that_fails_is_told_and_the_others_go_on(paths: Paths) -> None:
    class Failing(InThisProcess):
        def run(self, jobs: Sequence[Job], paths: Paths) -> Iterator[Job]:
            yield jobs[0]
            yield from super().run(jobs[1:], paths)

    said: list[str] = []
    with pytest.raises(DrfError, match="1 of 4 jobs did not end"):
        run_sweep(parse(TINY, "tiny"), Failing(), paths, said.append)
    assert said[0].endswith("not begun")
    run_sweep(parse(TINY, "tiny"), InThisProcess(), paths, said.append)
    assert said[-1].startswith("4 of 4")


def test_a_job_whose_process_was_killed_each_time_has_crashed(paths: Paths) -> None:
    (job, *_) = parse(TINY, "tiny").jobs()
    with contextlib.closing(open_store(paths.db)) as store:
        start_run(store, examples.new_run(), job.id)
        store.execute("UPDATE runs SET process_started = 1.0, heartbeat_at = '2026-01-01T00:00Z'")
    assert outcome(job, paths.db) == "crashed"


def test_a_grid_that_is_refused_is_no_sweep(paths: Paths) -> None:
    grid = parse(TINY | {"subset": "tset"}, "refused")
    with pytest.raises(UsageError, match="tset"):
        run_sweep(grid, InThisProcess(), paths, print)
    assert not paths.db.exists()
    open_store(paths.db).close()
    with pytest.raises(UsageError, match="tset"):
        run_sweep(grid, InThisProcess(), paths, print)
    with contextlib.closing(open_reader(paths.db)) as con:
        assert sweeps.sweeps(con).empty


_NOT_SAID = ("wall_s", "faces_per_s", "kept_epoch", "kept_val_nme")


def test_a_job_whose_store_is_damaged_does_not_keep_the_others_back(
    paths: Paths, tmp_path: Path
) -> None:
    whole, empty, rubbish = (tmp_path / "jobs" / (digit * 32) for digit in "cab")
    for folder in (whole, empty, rubbish):
        folder.mkdir(parents=True)
    (empty / STORE).touch()
    (rubbish / STORE).write_text("rubbish")
    with contextlib.closing(open_store(whole / STORE)) as store:
        start_run(store, examples.new_run(), whole.name)
        end_run(store, whole.name, "finished", **dict.fromkeys(_NOT_SAID))
    brought, left, damaged = gather_all(tmp_path / "jobs", paths.db)
    assert (brought, left) == (1, 0)
    assert all(str(one) in said for one, said in zip((empty, rubbish), damaged, strict=True))


def sweep_of_runs(path: Path, boxes: Sequence[str]) -> list[str]:
    """A sweep with the factor model.width of a finished run for each box protocol that its training
    has, without an evaluation; return the ids."""
    ids = [f"{i}" * 32 for i in range(len(boxes))]
    with contextlib.closing(open_store(path)) as store:
        for run, box in zip(ids, boxes, strict=True):
            config = {"data.box": box}
            new = examples.new_run(config=config, sources=dict.fromkeys(config, "--set"))
            start_run(store, new, run)
            end_run(store, run, "finished", **dict.fromkeys(_NOT_SAID))
        jobs = [sweeps.NewJob(run, "job", 0, {"model.width": i}) for i, run in enumerate(ids)]
        sweeps.record_sweep(store, "s", "val", jobs)
    return ids


def evaluate(path: Path, run: str, error_px: float, **facts: object) -> float:
    """Record an evaluation on a subset val; return its NME in percent."""
    result = examples.evaluation(error_px=error_px, subset="val", **facts)
    with contextlib.closing(open_store(path)) as store:
        record_evaluation(store, run, result, [])
    return 100 * float(result.errors("ocular").mean())


OTHER_EVALUATIONS: dict[str, dict[str, object]] = {
    "other boxes": {"box": "gt_jitter"},
    "no flip test": {"flip_test": False},
    "other dataset": {"dataset": "300w"},
    "other landmarks": {"landmarks": "eyes"},
}


@pytest.mark.parametrize("how_many", [1, 2])
@pytest.mark.parametrize("kind", OTHER_EVALUATIONS)
def test_the_table_of_a_sweep_is_that_of_its_own_board(
    tmp_path: Path, kind: str, how_many: int
) -> None:
    path = tmp_path / "drf.db"
    ids = sweep_of_runs(path, ["gt", "gt"])
    nmes = [evaluate(path, run, 1.0 + i) for i, run in enumerate(ids)]
    for run in ids[:how_many]:
        evaluate(path, run, 5.0, **OTHER_EVALUATIONS[kind])
    with contextlib.closing(open_reader(path)) as con:
        found = ablation.of_sweep(con, "s")
    own = {"dataset": "synthetic", "subset": "val", "landmarks": "all", "box": "gt"}
    assert found.board == own
    assert found.rows["nme"].tolist() == pytest.approx(nmes)


def test_a_sweep_over_boxes_shows_the_board_of_most_jobs(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    boxes = ["gt", "gt_jitter", "gt_jitter"]
    ids = sweep_of_runs(path, boxes)
    for i, (run, box) in enumerate(zip(ids, boxes, strict=True)):
        evaluate(path, run, 1.0 + i, box=box)
    with contextlib.closing(open_reader(path)) as con:
        assert sweeps.left(sweeps.jobs(con, "s")).empty
        found = ablation.of_sweep(con, "s")
    assert found.board["box"] == "gt_jitter"
    assert found.rows["value_0"].tolist() == ["1", "2"]


def test_runs_on_different_faces_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    one, other = sweep_of_runs(path, ["gt", "gt"])
    evaluate(path, one, 1.0)
    evaluate(path, other, 1.0, names=tuple(f"other/{i}" for i in range(6)))
    with contextlib.closing(open_reader(path)) as con, pytest.raises(NotFoundError, match="face"):
        ablation.of_sweep(con, "s")


def test_only_an_evaluation_on_its_own_board_ends_a_job(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    (run,) = sweep_of_runs(path, ["gt"])
    for kind in ("other boxes", "other dataset", "other landmarks"):
        evaluate(path, run, 1.0, **OTHER_EVALUATIONS[kind])
        with contextlib.closing(open_reader(path)) as con:
            assert sweeps.jobs(con, "s")["condition"].tolist() == [sweeps.NOT_EVALUATED]
            assert sweeps.undone(con, [run], "val") == [run]
    evaluate(path, run, 1.0)
    with contextlib.closing(open_reader(path)) as con:
        assert sweeps.undone(con, [run], "val") == []


def test_an_evaluation_on_the_boxes_of_a_file_ends_a_job_that_was_trained_on_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "drf.db"
    (run,) = sweep_of_runs(path, ["file"])
    evaluate(path, run, 1.0)
    with contextlib.closing(open_reader(path)) as con:
        assert sweeps.undone(con, [run], "val") == [run]
    manifest = {"box_file": "0123456789abcdef", "box_name": "mtcnn"}
    evaluate(path, run, 1.0, box="file", manifest=manifest)
    with contextlib.closing(open_reader(path)) as con:
        assert reads.evaluations(con, run)["box"].tolist() == ["file-mtcnn-01234567", "gt"]
        assert sweeps.undone(con, [run], "val") == []


def test_a_job_that_was_evaluated_on_another_dataset_is_evaluated_on_its_own(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job, *_) = parse(TINY, "tiny").jobs()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(works, "evaluate_run", lambda *_: None)
        work(job, paths)
    evaluate(paths.db, job.id, 1.0, dataset="300w")
    for _ in range(2):
        work(job, paths)
        with contextlib.closing(open_reader(paths.db)) as con:
            evaluated = reads.evaluations(con, job.id)
        assert evaluated["dataset"].tolist() == ["synthetic", "300w"]


FRESH_S = 3.0
"""How long the heartbeat of another machine is fresh in these tests."""


def leave_running(folder: Path, run: str) -> None:
    """Leave in a folder what a machine publishes that dies a moment later."""
    with contextlib.closing(open_store(folder / STORE)) as store:
        start_run(store, examples.new_run(), run)
        store.execute("UPDATE runs SET host = 'elsewhere'")


def conditions(path: Path, jobs: Sequence[Job]) -> list[str | None]:
    with contextlib.closing(open_reader(path)) as con:
        there = dict(con.execute("SELECT id, state FROM runs"))
    return [there.get(job.id) for job in jobs]


@pytest.fixture
def two_jobs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Two jobs for Ray, of which a machine that has just died had the first."""
    monkeypatch.setattr(works, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(status, "STALE_AFTER_S", FRESH_S)
    jobs = parse(TINY, "tiny").jobs()[:2]
    open_store(paths.db).close()
    leave_running(paths.db.parent / FOLDER / jobs[0].id, jobs[0].id)
    return jobs


def test_a_job_whose_machine_died_goes_on_once_its_heartbeat_is_old(
    paths: Paths, two_jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_here.install(monkeypatch)
    assert list(OnRay(jobs=1).run(two_jobs, paths)) == two_jobs
    assert conditions(paths.db, two_jobs) == ["finished", "finished"]


def test_a_job_whose_machines_all_died_does_not_end_the_others(
    paths: Paths,
    two_jobs: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(status, "STALE_AFTER_S", 600.0)
    ray_here.install(monkeypatch, dies=[two_jobs[0].id])
    assert list(OnRay(jobs=1).run(two_jobs, paths)) == two_jobs
    assert conditions(paths.db, two_jobs) == [None, "finished"]
    said = capsys.readouterr().err
    assert "the machine died" in said
    assert "trains it" in said
    assert (paths.db.parent / FOLDER / two_jobs[0].id / STORE).is_file()  # to go on from
    assert not (paths.db.parent / FOLDER / two_jobs[1].id).exists()


LOCKED = (sqlite3.OperationalError("database is locked"), DrfError("the store stayed locked"))


@pytest.mark.parametrize("error", LOCKED, ids=str)
def test_a_job_that_a_locked_store_does_not_take_does_not_end_the_others(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    jobs = parse(TINY, "tiny").jobs()[:2]

    def locked(folder: Path, run: str, db: Path) -> bool:
        if run == jobs[0].id:
            raise error
        return gather(folder, run, db)

    open_store(paths.db).close()
    ray_here.install(monkeypatch)
    monkeypatch.setattr(on_ray, "gather", locked)
    assert list(OnRay(jobs=1).run(jobs, paths)) == jobs
    assert conditions(paths.db, jobs) == [None, "finished"]
    assert str(error) in capsys.readouterr().err
    assert (paths.db.parent / FOLDER / jobs[0].id / STORE).is_file()  # to be gathered
