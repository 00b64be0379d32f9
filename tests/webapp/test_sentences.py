"""Sentences of the app, the exported pages and the command line are plain; colours can be read."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conftest import REPOSITORY
from webapp.ui import frame

FOLDERS = ("webapp", "cli", "db", "experiments", "docs")
NEVER = (  # by the review of the app: idioms, metaphors, names from inside
    "died without a word",
    "Heard of within",
    "last heard of",
    "Under way",
    "Look again every",
    "In the last:",
    "Stopped in order, too early",
    "every face got one shape",
    "What they are and cost",
    "Also what is the same",
    "over faces drawn with replacement",
    "faces that all runs have",
    "What differs in how they were made",
    "Show the error to expect",
    "everything but the factors",
    "which is not here",
    "which is no range here",
    "has stopped asking",
    "where it lies, with",
    "Leaves of:",
    "The same faces in epoch",
    "Rules that the training kept",
    "Kind of model",
    "Choose two to",
    "Spells every setting",
)


@pytest.mark.parametrize("phrase", NEVER)
def test_no_sentence_has_a_phrase_that_readers_did_not_understand(phrase):
    found = [
        file.relative_to(REPOSITORY).as_posix()
        for folder in FOLDERS
        for pattern in ("*.py", "*.html", "*.js", "*.md")
        for file in (REPOSITORY / folder).rglob(pattern)
        if phrase in _text(file)
    ]
    assert not found


_READ: dict[object, str] = {}


def _text(file) -> str:
    return _READ.setdefault(file, file.read_text(encoding="utf-8"))


def test_whatever_makes_a_logarithmic_axis_says_so_in_its_title():
    """`charts.log_axis` writes "(log scale)"."""
    makers = [
        file
        for file in (REPOSITORY / "webapp").rglob("*.py")
        if re.search(r"""["']log["']""", _text(file))
    ]
    assert REPOSITORY / "webapp/ui/charts.py" in makers
    assert all("(log" in _text(file) for file in makers)


def _rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _luminance(rgb: list[float]) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    """(L1 + 0.05) / (L2 + 0.05), WCAG 2.2."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("surface", ["backgroundColor", "secondaryBackgroundColor"])
def test_captions_axes_and_links_have_the_contrast_of_wcag_aa(theme, surface):
    file = REPOSITORY / "webapp/.streamlit/config.toml"
    colours = tomllib.loads(file.read_text())["theme"][theme]
    text, below = _rgb(colours["textColor"]), _rgb(colours[surface])
    muted = [frame.MUTED * t + (1 - frame.MUTED) * b for t, b in zip(text, below, strict=True)]
    for words in (text, muted, _rgb(colours["grayTextColor"]), _rgb(colours["linkColor"])):
        assert contrast(words, below) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_white_words_on_the_colour_of_what_is_chosen_can_be_read_and_its_border_seen(theme):
    """WCAG AA: 4.5 : 1 for words, 3 : 1 for borders."""
    file = REPOSITORY / "webapp/.streamlit/config.toml"
    colours = tomllib.loads(file.read_text())["theme"][theme]
    chosen = _rgb(colours["primaryColor"])
    assert contrast([1, 1, 1], chosen) >= 4.5
    assert contrast(chosen, _rgb(colours["backgroundColor"])) >= 3
