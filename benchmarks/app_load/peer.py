"""The same runs in MLflow, whose server answers its run search over HTTP."""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SEARCHES = 5


def installed(python: str) -> str | None:
    """Return the version of MLflow that an interpreter has, None if it has none."""
    code = "import importlib.metadata as m; print(m.version('mlflow'))"
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return ran.stdout.strip() if ran.returncode == 0 else None


def measure(python: str, runs: int, keys: int = 50) -> dict[str, float]:
    """Fill an MLflow store with so many runs, serve it, and return the median of its searches of
    all runs by a metric, ms, with the seconds of filling.

    python: an interpreter that has MLflow; it may need another pyarrow than drf is tested with.
    """
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        subprocess.run([python, __file__, scratch, str(runs), str(keys)], check=True)
        filled_s = time.perf_counter() - began
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [python, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{scratch}/mlflow.db"]
        server = subprocess.Popen(
            command, cwd=scratch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _once_healthy(address, server)
            times = [_search(address, runs) for _ in range(1 + SEARCHES)][1:]
        finally:
            server.terminate()
            server.wait(timeout=30)
    return {"search_ms": statistics.median(times), "filled_s": filled_s}


def _once_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError("MLflow's server did not start")


def _search(address: str, runs: int) -> float:
    """Ask for all runs by their metric, as many a page as MLflow allows; return the ms it took."""
    wanted = {"experiment_ids": ["1"], "max_results": 50_000, "order_by": ["metrics.nme ASC"]}
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/runs/search",
        json.dumps(wanted).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as answer:
        found = json.load(answer)["runs"]
    took = 1e3 * (time.perf_counter() - began)
    if len(found) != runs:
        raise RuntimeError(f"MLflow found {len(found)} of {runs} runs")
    return took


def _fill(folder: Path, runs: int, keys: int) -> None:
    """Runs inside the interpreter that has MLflow."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("board", artifact_location=(folder / "files").as_uri())
    scores = [f"{norm}_{s}" for norm in ("ocular", "pupil") for s in ("fr8", "auc8", "fr10")]
    for number in range(runs):
        run = client.create_run(experiment, run_name=f"run-{number}").info.run_id
        metrics = [Metric("nme", 3 + number % 997 / 100, 0, 0)]
        metrics += [Metric(score, number % 100, 0, 0) for score in scores]
        params = [Param(f"model.key{k:02d}", str((number >> k) & 1)) for k in range(keys)]
        client.log_batch(run, metrics=metrics, params=params)
        client.set_terminated(run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=int)
    parser.add_argument("keys", type=int)
    given = parser.parse_args()
    sys.exit(_fill(given.folder, given.runs, given.keys))
