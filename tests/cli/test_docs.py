"""Help and documentation follow from the code, and every option and key explains itself."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest
import typer

import cli.main
from drf import registry
from drf.config import KeyInfo, describe_keys, sections_of
from tests.conftest import REPOSITORY


def generator() -> ModuleType:
    """The script docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()


def parameters() -> list[Any]:
    """Every argument and option of every command, as (words, parameter)."""
    root = typer.main.get_command(cli.main.app)
    found = [("drf", p) for p in root.params]
    for words, command in GENERATOR.leaves(root, ()):
        found += [(" ".join(("drf", *words)), p) for p in command.params]
    return found


def keys() -> list[KeyInfo]:
    own = [describe_keys({"model": registry.family(name).config}) for name in registry.FAMILIES]
    return [key for part in (describe_keys(sections_of(None)), *own) for key in part]


@pytest.mark.parametrize("name", GENERATOR.FILES)
def test_the_committed_documentation_is_that_of_the_code(name: str) -> None:
    committed = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    same = committed == GENERATOR.FILES[name]()
    assert same, f"docs/{name} is older than the code: run `{GENERATOR.COMMAND}`"


def test_nothing_of_this_machine_is_in_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: make() for name, make in GENERATOR.FILES.items()}
    for variable, value in {"COLUMNS": "40", "DRF_DB": "/x/y.db", "DRF_DATA": "/x/z"}.items():
        monkeypatch.setenv(variable, value)
    assert {name: make() for name, make in GENERATOR.FILES.items()} == before
    assert str(REPOSITORY) not in "".join(before.values())


def is_sentence(text: str | None) -> bool:
    return bool(text) and text[0].isupper() and text.endswith(".") and len(text.split()) >= 3


def test_every_option_explains_itself() -> None:
    assert not [(w, p.name, p.help) for w, p in parameters() if not is_sentence(p.help)]


def test_every_key_explains_itself() -> None:
    short = [(key.name, key.sentence) for key in keys() if len(key.sentence.split()) < 3]
    assert not short
    assert not [key.name for key in keys() if not key.sentence.endswith(".")]


def test_the_documentation_says_which_options_are_required() -> None:
    text = GENERATOR.commands()
    required = [(w, p) for w, p in parameters() if p.param_type_name == "option" and p.required]
    assert required
    for words, option in required:
        section = text.partition(f"## {words}\n")[2].partition("\n## ")[0]
        assert f"| {GENERATOR._names(option)} | required |" in section


def test_every_command_and_key_is_documented() -> None:
    text = GENERATOR.commands()
    for words, parameter in parameters():
        assert f"## {words}\n" in text or words == "drf"
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in text
    text = GENERATOR.configuration()
    assert all(f"| `{key.name}` |" in text for key in keys())
    assert all(f"### {family}\n" in text for family in registry.FAMILIES)
