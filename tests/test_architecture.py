"""The house's walls: who may import whom, and that the app and the store never load torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from benchmarks import reading_length
from tests.conftest import REPOSITORY

ALLOWED = {
    "drf": set(),
    "db": {"drf"},
    "experiments": {"drf", "db"},
    "cli": {"drf", "db", "experiments"},
    "webapp": {"drf", "db"},
}
# The command line knows of the app in two places only: `drf web` asks where it lies, in order to
# start it, and `drf export --static` has its other form written, the one without a server.
# Within drf, an arrow from a folder to one that is not named here would go upward.
DRF_FOLDERS = {
    "landmarks": set(),
    "scoring": {"landmarks"},
    "data": {"landmarks", "scoring"},
    "forest": {"landmarks"},
    "models": {"forest", "landmarks"},
    "inference": {"data", "landmarks", "models", "scoring"},
    "training": {"data", "forest", "inference", "landmarks", "models", "scoring"},
    "presets": set(),
}
# A model may be named by its run, and runs are in the store: `drf.load` is the one place of the
# science that asks it.
OF_THE_STORE = {"drf/loading.py": {"db"}}
MOST = {"webapp": 15, "db": 15, "drf": 21}
"""Package -> how many folders and files it may have side by side."""
OF_THE_APP = {"cli/web.py": {"webapp"}, "cli/export.py": {"webapp.static_site.site"}}


def modules(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            own = file.relative_to(REPOSITORY).parts[0]
            found.add(own if node.level else str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package):
    files = modules(package)
    assert files, f"no modules in {package}"
    for file in files:
        where = file.relative_to(REPOSITORY).as_posix()
        allowed = ALLOWED[package] | OF_THE_STORE.get(where, set())
        others = imported(file) & ALLOWED.keys() - {package} - allowed
        assert not others or where in OF_THE_APP, (where, others)


@pytest.mark.parametrize("file", OF_THE_APP)
def test_the_command_line_knows_the_app_by_its_doors(file):
    tree = ast.parse((REPOSITORY / file).read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name for name in names if name.startswith("webapp")} == OF_THE_APP[file]


def files_of_all() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for package in ALLOWED:
        for file in modules(package):
            parts = file.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def ours_imported(file: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports anywhere, those for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else str(node.module))
    return found & known.keys()


def test_no_circle_of_imports():
    known = files_of_all()
    graph = {name: ours_imported(file, known) - {name} for name, file in known.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("folder", DRF_FOLDERS)
def test_nothing_in_drf_imports_upward(folder):
    known = files_of_all()
    for name, file in known.items():
        if name.startswith(f"drf.{folder}"):
            others = {part.split(".")[1] for part in ours_imported(file, known) if "." in part}
            upward = others & DRF_FOLDERS.keys() - {folder} - DRF_FOLDERS[folder]
            assert not upward, (name, upward)


def test_only_experiments_and_the_loop_know_of_training():
    known = files_of_all()
    for name, file in known.items():
        if not name.startswith(("drf.training", "experiments", "cli")):
            above = {part for part in ours_imported(file, known) if part.startswith("drf.training")}
            assert not above, (name, above)


def entries(package: str) -> set[str]:
    """Folders and files that one sees who opens a package, without the ending."""
    paths = (REPOSITORY / package).iterdir()
    modules = {p.stem for p in paths if p.suffix == ".py" or (p / "__init__.py").is_file()}
    return modules - {"__init__"}


@pytest.mark.parametrize(("package", "most"), MOST.items())
def test_a_package_has_few_folders_and_files(package, most):
    found = entries(package)
    assert 0 < len(found) <= most, sorted(found)


@pytest.mark.parametrize("package", ["drf", "db", "webapp"])
def test_no_circle_of_folders(package):
    known, graph = files_of_all(), {}
    for name, file in known.items():
        own, _, rest = name.partition(".")
        if own == package and rest:
            asked = {
                part.split(".")[1]
                for part in ours_imported(file, known)
                if "." in part and part.startswith(f"{package}.")
            }
            folder = rest.split(".")[0]
            graph.setdefault(folder, set()).update(asked - {folder})
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(("what", "most"), tuple(zip(reading_length.STARTS, (12, 60), strict=True)))
def test_few_files_are_opened_to_read_one_thing(what, most):
    start, packages = reading_length.STARTS[what]
    files = reading_length.closure(REPOSITORY / start, packages, reading_length.modules())
    assert len(files) <= most, files


def test_the_exported_site_needs_no_streamlit():
    code = "import sys, webapp.static_site.site; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


@pytest.mark.parametrize("package", ["db", "webapp"])
def test_torch_is_never_loaded(package):
    """Import every module in a fresh process. Pages are scripts: they are compiled, and what they
    import is imported."""
    pages = REPOSITORY / "webapp/views"
    names = set()
    for file in modules(package):
        if pages in file.parents or file.name == "app.py":
            tree = ast.parse(file.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    names.add(node.module)
                elif isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
        else:
            names.add(".".join(file.relative_to(REPOSITORY).with_suffix("").parts))
    code = "\n".join(
        [
            "import importlib, sys",
            f"for name in {sorted(name.removesuffix('.__init__') for name in names)}:",
            "    importlib.import_module(name)",
            "assert 'torch' not in sys.modules",
        ]
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_no_file_of_the_app_hides_another_module():
    """`streamlit run webapp/app.py` puts webapp/ first on sys.path: its files are top-level names
    there. And a folder `pages` would become a second navigation."""
    taken = (
        set(sys.stdlib_module_names) | set(packages_distributions()) | ALLOWED.keys() | {"tests"}
    )
    entries = {
        path.stem for path in (REPOSITORY / "webapp").iterdir() if path.stem != "__pycache__"
    }
    assert entries
    assert not entries & (taken - {"__init__", "py"})  # py.typed is no module
    assert "pages" not in entries
