"""The house's walls: who may import whom, and that the app and the store never load torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

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
        others = imported(file) & ALLOWED.keys() - {package} - ALLOWED[package]
        assert not others or where in OF_THE_APP, (where, others)


@pytest.mark.parametrize("file", OF_THE_APP)
def test_the_command_line_knows_the_app_by_its_doors(file):
    tree = ast.parse((REPOSITORY / file).read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name for name in names if name.startswith("webapp")} == OF_THE_APP[file]


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
    assert not entries & (taken - {"__init__"})
    assert "pages" not in entries
