"""Scripts that measure: run each as a module from the repository's root.

    python -m benchmarks.NAME [--quick] [--json]

An experiment, which trains and stores runs: `contest`; others are grids of `drf sweep run`. Timings
and other measurements: everything else. `timing` holds what several of them share. --quick takes
about a minute; --json prints one JSON document on stdout. All end by `run_script`.
"""

from experiments.scripts import run_script as run_script
