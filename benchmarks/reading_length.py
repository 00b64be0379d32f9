"""How many files one opens to read a thing: the closure of its imports, followed by AST.

    python -m benchmarks.reading_length [--json] [--files]

A file counts once, whether it is imported at its top or inside a function; imports under
TYPE_CHECKING count too, for a reader follows them. Files without code (an empty `__init__.py`, one
that holds a docstring) do not count. Also prints the imports between the top-level packages.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from pathlib import Path

from benchmarks import run_script

ROOT = Path(__file__).parents[1]
PACKAGES = ("drf", "db", "experiments", "cli", "webapp")

STARTS = {
    "the winning model (drf/models/cascade_forest.py)": ("drf/models/cascade_forest.py", ("drf",)),
    "drf train (cli/train.py)": ("cli/train.py", PACKAGES),
}
"""What is read -> the file that one begins with, and the packages that count.

Model families and datasets are named in tables and imported when asked for (`drf/registry.py`,
`drf/data/dataset.py`), so `drf train` counts none of them; WITH_DEFAULTS counts those that it
trains where nothing else is said.
"""

WITH_DEFAULTS = ("drf/models/cascade_forest.py", "drf/data/synthetic_dataset.py")


def modules() -> dict[str, Path]:
    """Return every module of the packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> list[str]:
    """Return the modules of ours that a file imports, anywhere in it, each as often as it does."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.append(name if name in known else node.module)
    return [name for name in found if name in known]


def has_code(path: Path) -> bool:
    """Return whether a file holds more than a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)) for n in body)


def closure(start: Path, packages: tuple[str, ...], known: dict[str, Path]) -> list[str]:
    """Return the files, relative to the repository, that one opens who begins with `start`."""
    seen, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += [known[n] for n in imported(path, known) if n.partition(".")[0] in packages]
    return sorted(p.relative_to(ROOT).as_posix() for p in seen if has_code(p))


def between(known: dict[str, Path]) -> dict[str, int]:
    """Return how many imports go from one top-level package to another: {"cli -> db": 12, …}."""
    counts: Counter[str] = Counter()
    for name, path in known.items():
        own = name.partition(".")[0]
        others = [other.partition(".")[0] for other in imported(path, known)]
        counts.update(f"{own} -> {other}" for other in others if other != own)
    return dict(sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--files", action="store_true", help="name every file")
    parser.add_argument("--quick", action="store_true", help="the same: it takes a second")
    options = parser.parse_args()
    known = modules()
    read = {what: closure(ROOT / f, p, known) for what, (f, p) in STARTS.items()}
    everything = set(read["drf train (cli/train.py)"])
    for file in WITH_DEFAULTS:
        everything |= set(closure(ROOT / file, PACKAGES, known))
    read["drf train with its default model and dataset"] = sorted(everything)
    imports = between(known)
    if options.json:
        print(json.dumps({"files": read, "imports": imports}, indent=1))
        return
    for what, files in read.items():
        lines = sum(len((ROOT / f).read_text(encoding="utf-8").splitlines()) for f in files)
        print(f"{what}: {len(files)} files, {lines} lines")
        if options.files:
            print("\n".join(f"  {f}" for f in files))
    print("imports between packages: " + ", ".join(f"{k} {v}" for k, v in imports.items()))


if __name__ == "__main__":
    run_script(main)
