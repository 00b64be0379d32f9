"""`drf sweep`: run grids of experiments, see how far they are, and what came of them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options
from cli.output import advise, cell, note, print_json, table, tables
from db.file import DEFAULT_PATH, on_store
from drf.errors import DrfError
from drf.files import user_path

app = typer.Typer(no_args_is_help=True)

Grid = Annotated[
    str,
    typer.Argument(
        metavar="GRID",
        help="Grid file (.toml), or a grid that comes with drf; `drf sweep list` lists them.",
    ),
]
Sweep = Annotated[
    str | None,
    typer.Argument(metavar="SWEEP", show_default="the newest", help="Name of the sweep."),
]

Jobs = Annotated[
    int,
    typer.Option(
        min=0,
        show_default="one for each GPU; without a GPU, as many as the cores suffice for",
        help="Number of jobs at a time.",
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Number of threads of each job, for arithmetic.")]


@app.command()
def run(
    grid: Grid,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray",
            help="What runs the jobs: processes of this machine, or Ray, on the cluster that"
            " RAY_ADDRESS names, else on this machine.",
        ),
    ] = "local",
    jobs: Jobs = 0,
    threads: Threads = 1,
    data_root: options.DataRoot = None,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
) -> None:
    """Train and evaluate what is missing of a grid of experiments.

    The same job is the same run: called again, the command does what is missing and goes on with
    what was cut off. Ctrl-C lets all jobs save what they have; a second one ends them at once.
    """
    from experiments.paths import Paths
    from experiments.sweeps import grid as grids
    from experiments.sweeps.driver import choose, run_sweep

    asked = grids.load(grid)
    run_sweep(asked, choose(engine, jobs, threads), Paths(db, data_root, None, cache), note)
    advise(f"drf sweep table {shlex.quote(asked.name)}", store=db)


@app.command()
def search(
    grid: Grid,
    trials: Annotated[
        int,
        typer.Option(min=1, help="Number of combinations to train, beside those in the store."),
    ] = 20,
    jobs: Jobs = 0,
    threads: Threads = 1,
    data_root: options.DataRoot = None,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
) -> None:
    """Search in a grid for the combination with the lowest validation NME, by Optuna.

    Optuna proposes the combinations, at the first of the grid's seeds, and a run that is worse than
    the median of the others at the same epoch is ended; it has the tag pruned. Needs the package
    optuna: pip install drf[search].
    """
    from experiments.paths import Paths
    from experiments.sweeps import grid as grids
    from experiments.sweeps import search as searches
    from experiments.sweeps.local import Local

    asked = grids.load(grid)
    paths = Paths(db, data_root, None, cache)
    best = searches.search(asked, trials, Local(jobs, threads), paths, note)
    sweep = shlex.quote(asked.name)
    if best is None:
        why = on_store(f"drf sweep status {sweep}", db)
        raise DrfError(f"no run ended as it should: `{why}` says why")
    note(f"The best is {best.name}.")
    advise(f"drf sweep table {sweep}", store=db)


@app.command("list")
def list_grids(as_json: options.Json = False) -> None:
    """List the grids that come with drf."""
    from experiments.sweeps import grid as grids

    known = [grids.load(name) for name in grids.names()]
    if as_json:
        print_json([{"name": one.name, "summary": one.summary} for one in known])
        return
    tables().print(table(("grid", "summary"), [(one.name, one.summary) for one in known]))


@app.command()
def status(
    sweep: Sweep = None, db: options.Db = DEFAULT_PATH, as_json: options.Json = False
) -> None:
    """Show how far a sweep is: every job with its condition, and the time that is left."""
    from contextlib import closing

    from db.boards.entries import records
    from db.connection import open_reader
    from db.recording import sweeps
    from drf.text import duration

    with closing(open_reader(db)) as con:
        name = sweeps.find_sweep(con, sweep)
        jobs = sweeps.jobs(con, name)
    counts = jobs["condition"].value_counts()
    left = sweeps.seconds_left(jobs)
    if as_json:
        document: dict[str, Any] = {"sweep": name, "conditions": counts.to_dict()}
        print_json(document | {"seconds_left": left, "jobs": records(jobs)})
        return
    rows = [
        (row["job"][:8], row["name"], row["seed"], row["condition"],
         cell(100 * row["progress"], 0), row["reason"])
        for row in records(jobs)
    ]  # fmt: skip
    columns = ("run", "name", "seed", "condition", "done %", "reason")
    tables().print(table(columns, rows, f"sweep {name}"))
    said = ", ".join(f"{n} {condition}" for condition, n in counts.items())
    note(f"{len(jobs)} jobs: {said}." + (f" {duration(left)} left." if left else ""))


@app.command("table")
def show_table(
    sweep: Sweep = None,
    baseline: options.Baseline = None,
    norm: options.Norm = None,
    as_latex: options.Latex = False,
    as_json: options.Json = False,
    output: options.OldOutput = "text",
    db: options.Db = DEFAULT_PATH,
) -> None:
    """Show what came of a sweep: the error of every combination, with its difference to a baseline
    and the 95 % interval over faces and seeds."""
    from contextlib import closing

    from cli.ablate import show
    from db.analysis import ablation
    from db.connection import open_reader
    from db.recording import sweeps

    form = options.form(as_json, as_latex, output)
    with closing(open_reader(db)) as con:
        name = sweeps.find_sweep(con, sweep)
        found = ablation.of_sweep(con, name, baseline, norm)
    show(found, form)


@app.command()
def submit(
    grid: Grid,
    folder: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="Folder for the jobs, which all machines and this one can read and write.",
        ),
    ],
    partition: Annotated[
        str | None, typer.Option(metavar="NAME", help="SLURM partition of the jobs.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="Time limit of each job, hours.")] = 4.0,
    threads: Annotated[int, typer.Option(min=1, help="Number of cores of each job.")] = 4,
    gpus: Annotated[int, typer.Option(min=0, help="Number of GPUs of each job.")] = 0,
    local: Annotated[
        bool, typer.Option("--local", help="Run the jobs on this machine, to try it without SLURM.")
    ] = False,
    data_root: options.DataRoot = None,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
) -> None:
    """Submit what is missing of a grid to SLURM, a job each; `drf sweep gather` brings the runs.

    Jobs that ended too early go on where they were when the command is called again.
    """
    from experiments.paths import Paths
    from experiments.sweeps import grid as grids
    from experiments.sweeps import on_slurm

    needs = on_slurm.Needs(partition, hours, threads, gpus)
    paths = Paths(db, data_root, None, cache)
    submitted = on_slurm.submit(grids.load(grid), folder, paths, needs, local=local)
    note(f"{len(submitted)} jobs submitted.")
    advise(f"drf sweep gather {shlex.quote(str(folder))}", store=db)


@app.command()
def gather(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", parser=user_path, help="Folder that `drf sweep submit` was given."
        ),
    ],
    db: options.Db = DEFAULT_PATH,
) -> None:
    """Bring the runs of submitted jobs into the store, as far as they are; may be repeated."""
    from experiments.sweeps.on_slurm import gather_all

    brought, left, refused = gather_all(folder, db)
    note(f"{brought} runs are in {db}" + (f"; {left} still wait or run." if left else "."))
    for sentence in refused:
        note(sentence)
    if refused:
        raise DrfError(
            f"{len(refused)} jobs cannot be brought: delete the folder in {folder} of one that"
            " cannot be read, and submit the grid again to train it anew"
        )
