"""The documentation names only what exists: links, files, functions, keys, presets and commands."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import typer

import cli.main
from db.connection import open_store
from drf import __version__, presets, registry
from drf.config import AugmentConfig, DataConfig, TrainingConfig
from drf.scoring import scores
from tests.conftest import REPOSITORY

PAGES = sorted(
    page.relative_to(REPOSITORY).as_posix()
    for page in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"))
)
OF_TODAY = [page for page in PAGES if page != "CHANGELOG.md"]  # which tells old names too
TOP_LEVEL = ["benchmarks", "cli", "db", "docs", "drf", "experiments", "tests", "webapp"]
FILES = (".css", ".db", ".html", ".js", ".json", ".npz", ".py", ".safetensors", ".toml")
FENCE = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


def text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text(page))


def inline_code(page: str) -> list[str]:
    """What stands in single backticks, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def table_rows(page: str) -> list[list[str]]:
    """The cells of every row of every table, without bold."""
    plain = prose(page).replace("**", "")
    lines = [line for line in plain.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def headings(page: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in found}


def defined(file: str) -> set[str]:
    """The names of functions, classes and methods of a module."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(text(file))
    return {node.name for node in ast.walk(tree) if isinstance(node, definitions)}


def commands(page: str) -> list[str]:
    """Every `drf …` command of a page, without comments and ellipses."""
    lines = [line for block in FENCE.findall(text(page)) for line in block.splitlines()]
    lines += inline_code(page)
    found = [line.split("#")[0].split("  ")[0] for line in lines if line.startswith("drf ")]
    return [" ".join(word for word in line.split() if word != "…") for line in found]


def known_keys() -> set[str]:
    shared = {"data": DataConfig, "training": TrainingConfig, "augment": AugmentConfig}
    sections = [*shared.items(), *(("model", registry.family(f).config) for f in registry.FAMILIES)]
    return {f"{section}.{field.name}" for section, cls in sections for field in fields(cls)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target.resolve().relative_to(REPOSITORY).as_posix()), link


@pytest.mark.parametrize("page", OF_TODAY)
def test_files_that_are_named_exist(page: str) -> None:
    for name in inline_code(page):
        if not re.fullmatch(r"[\w./*-]+", name) or "NAME" in name:
            continue
        if name.split("/")[0] in TOP_LEVEL and "/" in name:
            assert list(REPOSITORY.glob(name.rstrip("/"))), name
        elif name.startswith("historical/"):
            assert name in presets.names()
        elif re.fullmatch(r"[\w*]+\.py", name):
            assert any(list((REPOSITORY / top).rglob(name)) for top in TOP_LEVEL), name


@pytest.mark.parametrize("page", OF_TODAY)
def test_scripts_that_are_named_exist(page: str) -> None:
    together = " ".join(text(page).split())
    for module in re.findall(r"python -m ([\w.]+)", together):
        path = REPOSITORY / module.replace(".", "/")
        where = (path.with_suffix(".py"), path / "__main__.py")
        assert module.endswith(".NAME") or any(one.is_file() for one in where), module
    for script in re.findall(r"python ([\w./]+\.py)", together):
        assert (REPOSITORY / script).is_file(), script


@pytest.mark.parametrize("page", OF_TODAY)
def test_keys_that_are_named_exist(page: str) -> None:
    words = [word for code in [*inline_code(page), *commands(page)] for word in code.split()]
    keys = {word.partition("=")[0] for word in words}
    named = {key for key in keys if re.fullmatch(r"(data|training|augment|model)\.\w+", key)}
    assert page == "docs/configuration.md" or named <= known_keys()


def identifiers(file: Path) -> set[str]:
    """What a module defines, imports or assigns, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.ImportFrom(module=str(module), names=names):
                found |= {*module.split("."), *(one.asname or one.name for one in names)}
            case ast.Import(names=names):
                found |= {one.asname or one.name for one in names}
    return found


def columns_of_the_store(folder: Path) -> set[str]:
    """table.column of an empty store, and meta.key."""
    store = open_store(folder / "drf.db")
    keys = {f"meta.{row['key']}" for row in store.table("meta").rows}
    columns = {f"{table.name}.{column.name}" for table in store.tables for column in table.columns}
    store.close()
    return keys | columns


def test_names_with_dots_in_docstrings_exist(tmp_path: Path) -> None:
    """`module.name`, by the last parts of the module's path at least; a key; a column; what is of a
    library that the file imports, or of Streamlit."""
    files = [file for top in TOP_LEVEL for file in sorted((REPOSITORY / top).rglob("*.py"))]
    paths = {file: ".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in files}
    modules = {path.removesuffix(".__init__"): identifiers(file) for file, path in paths.items()}
    others = known_keys() | columns_of_the_store(tmp_path)

    def is_ours(name: str) -> bool:
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            begin, rest = ".".join(parts[:n]), parts[n:]
            of_path = [has for path, has in modules.items() if f".{path}".endswith(f".{begin}")]
            if any(not rest or rest[0] in has for has in of_path):
                return True
        return any({*parts[:2]} <= has for has in modules.values() if parts[0][0].isupper())

    wrong = []
    for file, path in paths.items():
        named = re.findall(r"`([A-Za-z_]\w*(?:\.\w+)+)`", file.read_text(encoding="utf-8"))
        libraries = {"st"} | modules[path.removesuffix(".__init__")] - set(TOP_LEVEL)
        for name in {name for name in named if not name.endswith(FILES)} - others:
            if not is_ours(name) and name.split(".")[0] not in libraries:
                wrong.append(f"{path}: {name}")
    assert not wrong


@pytest.mark.parametrize(
    ("page", "command"), [(page, command) for page in OF_TODAY for command in commands(page)]
)
def test_commands_are_understood(page: str, command: str) -> None:
    """Words are commands, options exist and have their values; what they are is not looked at."""
    node, words = typer.main.get_command(cli.main.app), shlex.split(command)[1:]
    context = typer.Context(node, info_name="drf")
    while words and words[0] in getattr(node, "commands", {}):
        node = node.commands[words.pop(0)]
        context = typer.Context(node, info_name=node.name, parent=context)
    if hasattr(node, "commands") and not node.invoke_without_command:
        assert not words, f"{page}: {command}"
        return
    _, left, _ = node.make_parser(context).parse_args(words)
    assert not left, f"{page}: {command}"


def test_the_readme_has_commands_and_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 120
    assert len(commands("README.md")) >= 5


def test_the_readme_repeats_figures_of_the_results() -> None:
    full = {row[0]: row for row in table_rows("docs/results.md") if len(row) == 13}
    heading, *rows = [row for row in table_rows("README.md") if len(row) == 8]
    columns = [full["method"].index(title) for title in heading]
    assert len(rows) == 10
    for row in rows:
        assert row == [full[row[0]][column] for column in columns]


def test_the_protocol_defines_every_score_and_normaliser() -> None:
    cells = {" ".join(row[:1]).replace("`", "") for row in table_rows("docs/protocol.md")}
    named = {name for cell in cells for name in cell.split(", ")}
    assert {normaliser.key for normaliser in scores.NORMALISERS} <= named
    assert {score.title for score in scores.SCORES} <= named


def test_the_path_of_a_landmark_names_functions_that_exist() -> None:
    rows = [row for row in table_rows("docs/architecture.md") if len(row) == 4]
    steps = [row for row in rows if row[0] != "step"]
    assert len(steps) >= 15
    for step, files, functions, _ in steps:
        known = set().union(*(defined(file) for file in re.findall(r"`([^`]+)`", files)))
        names = re.findall(r"`(\w+)`", functions)
        assert names, step
        assert set(names) <= known, step


def test_one_version() -> None:
    assert f"\nversion: {__version__}\n" in text("CITATION.cff")
    assert f"\n## [{__version__}] – " in text("CHANGELOG.md")
    assert re.search(r"^version =", text("pyproject.toml"), flags=re.MULTILINE) is None


@pytest.mark.parametrize("package", ["drf", "db", "experiments", "cli", "webapp"])
def test_packages_are_typed(package: str) -> None:
    assert Path(REPOSITORY, package, "py.typed").is_file()
