"""`drf bench`: how long models take for one face."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import options
from cli.output import advise, cell, line, print_json, table, tables
from db.file import DEFAULT_PATH


def bench(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Names of runs, or the first characters of ids."),
    ],
    db: options.Db = DEFAULT_PATH,
    as_json: options.Json = False,
) -> None:
    """Measure how many milliseconds models take for one face on one thread, and store the results.

    A single pass of the best checkpoint goes from the image to the landmarks, in fp32, with batch
    norms folded and without the flip test. Runs are measured in turn, in 20 rounds of 20 passes
    each, of which the quickest counts, by the clock of the thread: so what other processes do makes
    little difference. The leaderboard shows the median, p50, beside the parameters.
    """
    from experiments.latency import measure_runs

    found = measure_runs(runs, db)
    if as_json:
        print_json([{"run": o.run, "name": o.name, **asdict(o.latency)} for o in found])
        return
    lines = [
        (one.run[:8], one.name, cell(one.latency.p50_ms, 2), cell(one.latency.p90_ms, 2))
        for one in found
    ]
    columns = ("run", "name", "p50 ms", "p90 ms")
    tables().print(table(columns, lines, "milliseconds for 1 face on 1 thread"))
    line(f"Measured on {found[0].latency.hardware}.")
    advise("drf leaderboard", "drf web", store=db)
