"""Names are shown as they are, whatever they contain; numbers carry their unit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.examples import HOSTILE
from webapp.ui.text import count, duration, format_time, in_chart, no_formula, percent, plain

ESCAPED = re.compile(r"(?:\\[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~])*", re.DOTALL)


@given(st.text() | st.sampled_from(HOSTILE))
def test_every_punctuation_mark_is_escaped(text):
    assert ESCAPED.fullmatch(plain(text))


@given(st.text(st.characters(exclude_characters="\u2060")))
def test_a_reader_sees_the_text_itself_on_one_line(text):
    seen = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(text)).replace("\u2060", "")
    assert seen == " ".join(text.split())


def test_long_names_that_differ_at_the_end_differ_in_a_chart():
    jobs = [f"ablation: trees 4, tree_depth 6, label_sigma {sigma}" for sigma in ("0.5", "2")]
    first, second = map(in_chart, jobs)
    assert (len(first), len(second)) == (40, 40)
    assert first.endswith("label_sigma 0.5")
    assert second.endswith("label_sigma 2")
    assert in_chart("a" * 40) == "a" * 40


@pytest.mark.parametrize("name", [*HOSTILE, "www.example.org", "https://a.b", "me@example.org"])
def test_addresses_are_broken_up_invisibly(name):
    shown = plain(name).replace("\\", "")
    assert not re.search(r"(?i)https?://|www\.|@\w", shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (999, "999"), (1_234_567, "1.23 M"), (891_000_000, "891 M"), (3.4e9, "3.4 G")],
)
def test_count(value, shown):
    assert count(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.42, "0.4 s"),
        (59.6, "1 min 0 s"),
        (597.8, "9 min 58 s"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration(seconds, shown):
    assert duration(seconds) == shown


def test_percent_has_the_two_decimals_of_papers():
    assert percent(3.456) == "3.46 %"


def test_a_time_is_shown_in_utc():
    assert format_time("2026-11-23T18:50:12.345Z") == "2026-11-23 18:50 UTC"


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-1+cmd", "@SUM(1)", "\t=1", HOSTILE[2]])
def test_a_name_that_a_spreadsheet_would_run_is_quoted(name):
    assert no_formula(name) == f"'{name}"


@pytest.mark.parametrize("value", ["helen/1", "", "a=1", -3, None, 0.5])
def test_numbers_and_other_texts_stay_as_they_are(value):
    assert no_formula(value) is value
