"""Write docs/configuration.md, cli.md and methods.md from the code: python docs/generate.py

They follow from the declarations of configuration keys and of commands and from the presets alone;
a test compares the committed files with what this script would write.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout that this file belongs to

import cli.main
from cli.options import OLD_OPTIONS
from drf import presets, registry
from drf.config import OLD_KEYS, KeyInfo, describe_keys, sections_of, shown
from drf.landmarks.markup import IBUG68
from drf.text import count
from experiments.request import Request, configure

FOLDER = Path(__file__).parent
COMMAND = "python docs/generate.py"

_SECTIONS = {
    "data": "Faces and crops",
    "training": "Optimisation, budget and checkpoints",
    "augment": "Augmentation of training pictures",
}


def configuration() -> str:
    """Return docs/configuration.md: the sections that all families share, then each family's."""
    shared = describe_keys(sections_of(None))
    parts = [_intro("Configuration", _CONFIGURATION)]
    for section, title in _SECTIONS.items():
        keys = [key for key in shared if key.name.startswith(f"{section}.")]
        parts.append(f"## {title}: `{section}.*`\n\n{_key_table(keys)}")
    parts.append("## Model families: `model.*`\n\n" + _FAMILIES)
    for name in registry.FAMILIES:
        keys = describe_keys({"model": registry.family(name).config})
        names = [p for p in presets.names() if presets.load(p).family == name]
        heading = f"### {name}\n\nPresets: {', '.join(f'`{preset}`' for preset in names)}.\n\n"
        parts.append(heading + (_key_table(keys) if keys else "This family has no keys.\n"))
    return "\n".join(parts)


def commands() -> str:
    """Return docs/cli.md: every command with its arguments and options."""
    root = typer.main.get_command(cli.main.app)
    found = list(leaves(root, ()))
    rows = [
        (f"[drf {' '.join(path)}](#drf-{'-'.join(path)})", _paragraphs(command.help).split("\n")[0])
        for path, command in found
    ]
    parts = [_intro("Command line", _COMMANDS), _table(("command", "what it does"), rows)]
    parts += [_options("drf", root), *(_command(path, command) for path, command in found)]
    return "\n".join(parts)


def methods() -> str:
    """Return docs/methods.md: the card of every preset."""
    known = [presets.load(name) for name in presets.names()]
    today = [preset for preset in known if not preset.name.startswith(_EARLIER)]
    earlier = [preset for preset in known if preset.name.startswith(_EARLIER)]
    rows = [
        (f"[{preset.name}](#{preset.name})", preset.summary, *map(count, _cost(preset.name)))
        for preset in today
    ]
    heads = ("preset", "what it is", "parameters", "MACs")
    parts = [_intro("Methods", _METHODS), _table(heads, rows), _FIGURE]
    parts += [f"## {preset.name}\n\n{_card(preset)}" for preset in today]
    parts.append(f"## Earlier designs\n\n{_EARLIER_DESIGNS}")
    parts += [f"### {preset.name}\n\n{_card(preset)}" for preset in earlier]
    return "\n".join(parts)


def _card(preset: presets.Preset) -> str:
    said = [preset.summary, preset.description]
    if preset.weakness:
        said.append(f"**Known weakness.** {preset.weakness}")
    if preset.paper:
        said.append(f"**Paper.** [{preset.paper}]({preset.paper_url})")
    keys = ", ".join(map(_code, preset.settings())) or "no key"
    said.append(f"**Family** `{preset.family}`; the preset sets {keys}.")
    return "\n\n".join(filter(None, said)) + "\n"


@functools.cache
def _cost(preset: str) -> tuple[int, int]:
    """Return the parameters and multiply-accumulates of a preset for 68 landmarks."""
    model = registry.build(configure(Request(preset)).config, IBUG68)
    return registry.count_params(model), registry.count_macs(model)


FILES = {"configuration.md": configuration, "cli.md": commands, "methods.md": methods}

_EARLIER = "historical/"
_METHODS = """\
A card for each preset of `drf train`. The app shows it beside runs (“About this method”), and an
exported run page contains it. The texts are keys of the presets in `drf/presets/`. Parameters and
multiply-accumulates of one face are those of 68 landmarks; errors and times are in the
[results](results.md), and [the forests](forests.md) explains how the forests work."""

_FIGURE = "![Error against latency of one face](contest.svg)\n"

_EARLIER_DESIGNS = """\
Presets that repeat designs of earlier experiments, to measure what today's parts change. Their
errors are in [the forests](forests.md#what-earlier-designs-reach).
"""

_CONFIGURATION = """\
Every key can be set in a TOML file (`drf train --config FILE`), with `--set KEY=VALUE`, and some
with an option of their own (`drf train --help`). Later layers override earlier ones: default <
preset < file < track < `--set` < option. The store records the value of every key of a run and the
layer that set it. `drf train PRESET --keys` prints the keys of one preset with its values."""

_FAMILIES = """\
A preset names its family and the keys in which it differs from these defaults.
"""

_COMMANDS = """\
Data go to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage or
configuration, 3 not found, 4 a check found faults, 130 interrupted. `--help` explains each
command."""


def _intro(title: str, text: str) -> str:
    return f"# {title}\n\n<!-- Generated from the code: {COMMAND} -->\n\n{text}\n"


def _key_table(keys: Iterable[KeyInfo]) -> str:
    old = {new: [k for k, v in OLD_KEYS.items() if v == new] for new in OLD_KEYS.values()}
    rows = [
        (
            _code(key.name),
            key.values,
            _code(shown(key.default)),
            key.sentence,
            ", ".join(map(_code, old.get(key.name, []))),
        )
        for key in keys
    ]
    return _table(("key", "values", "default", "meaning", "formerly"), rows)


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (words after `drf`, command) of every command, and of every group that is one too."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    if path and command.invoke_without_command:
        yield path, command
    for name, child in command.commands.items():
        if not child.hidden:
            yield from leaves(child, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> str:
    words = " ".join(path)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(
        ["drf", words, *(a.metavar if a.required else f"[{a.metavar}]" for a in arguments)]
    )
    parts = [f"## drf {words}\n", f"    {usage} [OPTIONS]\n", _paragraphs(command.help)]
    if arguments:
        rows = [(_code(a.metavar), _default(a), a.help) for a in arguments]
        parts.append(_table(("argument", "default", "meaning"), rows))
    return "\n".join([*parts, _options(words, command)])


def _options(words: str, command: Any) -> str:
    old = {new: k for k, new in OLD_OPTIONS.get(words, {}).items()}
    rows = [
        (_names(p), _default(p), p.help, _formerly(p, old))
        for p in command.params
        if p.param_type_name == "option" and not p.hidden
    ]
    return _table(("option", "default", "meaning", "formerly"), rows)


def _names(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.name.split('_')[-1].upper()}"
    names = [_code(name + value) for name in option.opts]
    return ", ".join([*names, *map(_code, option.secondary_opts)])


def _formerly(option: Any, old: dict[str, str]) -> str:
    names = (*option.opts, *option.secondary_opts)
    return ", ".join(_code(old[name]) for name in names if name in old)


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        text = parameter.show_default
    elif parameter.required:  # of an argument the usage says so
        text = "required" if parameter.param_type_name == "option" else ""
    elif parameter.default is None or parameter.default is False:
        text = ""
    elif parameter.default is True:
        text = _code(parameter.opts[0])
    else:
        text = _code(str(parameter.default))
    variable = f"variable `{parameter.envvar}`" if parameter.envvar else ""
    return ", else ".join(part for part in (variable, text) if part)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, without the last column where no row fills it."""
    if rows and not any(row[-1] for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(_in_table, line))} |\n" for line in lines)


def _in_table(text: str) -> str:
    return text.replace("|", r"\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def main() -> None:
    """Write the files."""
    for name, content in FILES.items():
        (FOLDER / name).write_text(content(), encoding="utf-8")


if __name__ == "__main__":
    main()
