"""What a run was made by: code, versions, machine. Facts only, no judgement."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from drf import distributed, hardware
from drf.files import without_folders
from drf.text import printable
from drf.version import VERSION

PACKAGES = ("numpy", "opencv-python-headless", "safetensors", "scipy", "sqlite-utils", "torch")
MAX_DIFF_BYTES = 200_000


def collect(device: torch.device, precision: str) -> dict[str, object]:
    """Return the facts that are stored with a run; JSON values only."""
    return {
        "drf": VERSION,
        "command": command(),
        **_git(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": hardware.describe(device),
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": distributed.processes(),
    }


def command() -> str:
    """Return the command as it is stored, `drf train …` or `python -m …`, with PATH in place of the
    folders of this machine: the store is for sharing."""
    script, root = Path(sys.argv[0]), Path(__file__).parents[1]
    program = ["drf"]
    if script.suffix == ".py" and script.is_relative_to(root):
        module = script.relative_to(root).with_suffix("").parts
        if all(part.isidentifier() for part in module):
            program = ["python", "-m", ".".join(module).removesuffix(".__main__")]
    return printable(shlex.join([*program, *map(without_folders, sys.argv[1:])]))


def _git() -> dict[str, object]:
    """Commit and uncommitted diff of the checkout this code runs from; None without one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return {"git_commit": None, "git_diff": None}
    try:
        commit = _run(root, "rev-parse", "HEAD").strip()
        diff = _run(root, "diff", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_diff": None}
    return {"git_commit": commit, "git_diff": diff[:MAX_DIFF_BYTES]}


def _run(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words],
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        timeout=20,
    )
    return done.stdout


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
