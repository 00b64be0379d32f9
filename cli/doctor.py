"""`drf doctor`: device, versions, store and data of this machine, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from cli import options
from cli.output import line, print_json, table, tables
from db.file import DEFAULT_PATH


def doctor(
    data_root: options.DataRoot = None,
    db: options.Db = DEFAULT_PATH,
    as_json: options.Json = False,
) -> None:
    """Show the device, versions, store and data of this machine. Exits with 4 on a fault."""
    facts, faults = _examine(data_root, db)
    if as_json:
        print_json({"facts": facts, "faults": faults})
    else:
        tables().print(table(("fact", "value"), facts.items(), show_header=False))
        for fault in faults:
            line(f"fault: {fault}")
    raise typer.Exit(4 if faults else 0)


def _examine(data_root: Path | None, db: Path) -> tuple[dict[str, Any], list[str]]:
    import platform
    import shutil

    import torch

    from drf import __version__, hardware
    from drf.errors import DrfError

    device = hardware.choose_device("auto")
    folder = next(p for p in [db.resolve().parent, *db.resolve().parents] if p.is_dir())
    facts: dict[str, Any] = {
        "drf": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device.type,
        "hardware": hardware.describe(device),
        "precision": hardware.choose_precision("auto", device),
        "store": f"{db} ({'found' if db.is_file() else 'the first run creates it'})",
        "free disk": f"{shutil.disk_usage(folder).free / 1e9:.1f} GB",
        "browser for tests": shutil.which("chromium") or "not found; browser tests are skipped",
    }
    faults = []
    for name, check in (("store", _store_fault), ("300w", _data_fault)):
        try:
            facts |= check(db, data_root)
        except DrfError as error:
            faults.append(f"{name}: {error}")
    return facts, faults


def _store_fault(db: Path, _: Path | None) -> dict[str, Any]:
    """Raises DrfError where an existing store cannot be read."""
    if not db.is_file():
        return {}
    import contextlib
    import sqlite3

    from db import reads
    from db.connection import open_reader
    from db.transactions import as_drf_error

    try:
        with contextlib.closing(open_reader(db)) as reader:
            return {"runs": len(reads.runs(reader))}
    except sqlite3.Error as error:
        raise as_drf_error(error, str(db)) or error from error


def _data_fault(_: Path, data_root: Path | None) -> dict[str, Any]:
    """Raises DataError where the named folder of 300-W cannot be used."""
    if data_root is None:
        return {"300w": "no folder given; --data-root or DRF_DATA names it"}
    from drf.data.dataset import open_dataset

    dataset = open_dataset("300w", data_root)
    return {"300w": f"{len(dataset.subset('train').faces)} training faces"}
