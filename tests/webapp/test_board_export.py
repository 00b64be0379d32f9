"""The exports hold exactly the view, and every row says what it comes from."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from tests.webapp.test_board_view import built, current, path, published  # noqa: F401
from webapp.leaderboard import export, typeset

HOSTILE = "50% \\input{x} & $a_b^c$ ~#{}\n\\end{tabular}"


@pytest.fixture
def view(current):  # noqa: F811
    return built(current, hide=True, baseline="wide", published=published())


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def ours(rows):
    return [row for row in rows if row["kind"] == "method"]


def test_csv_and_json_hold_the_rows_of_the_view_in_its_order(view):
    rows, document = read(export.as_csv(view)), json.loads(export.as_json(view, {}))
    names = list(view.rows["name"][view.rows["kind"] == "method"])
    assert [row["name"] for row in ours(rows)] == names
    assert [row["name"] for row in ours(document["rows"])] == names
    assert len(rows) == len(document["rows"]) == len(view.table)
    for one, other in zip(ours(rows), ours(document["rows"]), strict=True):
        assert float(one["ocular_nme_percent"]) == other["ocular_nme_percent"]


def test_every_exported_row_is_traceable_to_its_runs(view):
    expected = [list(runs) for runs in view.rows["runs"][view.rows["kind"] == "method"]]
    rows = ours(json.loads(export.as_json(view, {}))["rows"])
    assert [row["runs"] for row in rows] == expected
    assert all(len(run) == 32 for row in rows for run in row["runs"])
    assert all(
        len(row["checkpoints"]) == len(row["evaluations"]) == len(row["runs"]) for row in rows
    )
    assert [row["runs"].split() for row in ours(read(export.as_csv(view)))] == expected
    for data in (typeset.as_markdown(view), typeset.as_latex(view, "c")):
        lines = data.decode().splitlines()
        for runs in expected:
            assert sum(all(run in line for run in runs) for line in lines) == 1


def test_exports_have_the_columns_of_the_view_and_no_others(view):
    row = ours(json.loads(export.as_json(view, {}))["rows"])[0]
    assert {"ocular_nme_low_percent", "ocular_difference_percent", "family"} <= set(row)
    assert not {"preset", "wall_s", "pupil_nme_percent"} & set(row)  # hidden, or not asked for
    header = typeset.as_markdown(view).decode().split("\n")[0]
    assert "Δ NME" in header
    assert "Flip" not in header


def test_json_says_what_was_chosen(view):
    document = json.loads(export.as_json(view, {"revision": 7, "baseline": None}))
    assert document["view"] == {"revision": 7, "baseline": None}


def test_published_figures_come_with_source_protocol_and_no_rank(view):
    theirs = [r for r in json.loads(export.as_json(view, {}))["rows"]
              if r["kind"] == "published"]  # fmt: skip
    assert len(theirs) == len(published())
    for row in theirs:
        assert row["source"]
        assert row["protocol"]
        assert "rank" not in row


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)"])
def test_a_spreadsheet_does_not_run_a_name(view, name):
    view.rows.loc[0, "name"] = name
    assert read(export.as_csv(view))[0]["name"] == f"'{name}"


def test_markdown_marks_best_and_second_and_shows_names_as_they_are(view):
    lines = typeset.as_markdown(view).decode().splitlines()
    best, second = (f"{view.table['ocular_nme'].iloc[i]:.2f}" for i in (0, 1))
    assert f"**{best}**" in lines[2]
    assert f"<u>{second}</u>" in lines[3]
    assert "<i>" not in "".join(lines)
    assert "The same in every row" in "\n".join(lines)
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[: 2 + len(view.table)]}
    assert len(cells) == 1  # every line has as many columns


def test_latex_has_booktabs_bold_best_and_citations(view):
    text = typeset.as_latex(view, "All & more").decode()
    for word in ("toprule", "midrule", "bottomrule", r"\caption{All \& more 95 \% intervals"):
        assert word in text
    best, second = (f"{view.table['ocular_nme'].iloc[i]:.2f}" for i in (0, 1))
    assert rf"\textbf{{{best}}}" in text
    assert rf"\underline{{{second}}}" in text
    assert r"~\cite{zhou2023star}" in text
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)[1]
    rows = [
        line.split(" \\\\")[0] for line in text.splitlines() if " & " in line and "capt" not in line
    ]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def test_latex_sets_a_hostile_name_as_it_is(view):
    escaped = typeset.escape(HOSTILE)
    assert "\n" not in escaped
    bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}", "", escaped)
    assert not re.search(r"(?<!\\)[&%$#_{}~^]", bare)
    assert r"\input" not in escaped
    assert r"\end" not in escaped


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(view, tmp_path):
    body = typeset.as_latex(view, HOSTILE).decode()
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        f"\\usepackage{{booktabs}}\\begin{{document}}{body}\\end{{document}}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_bibtex_has_the_papers_of_the_families_and_figures_shown(view):
    text = typeset.as_bibtex(view).decode()
    keys = re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)
    figures = {figure.paper for figure in published()}
    assert set(keys) == figures | {"shen2017ldlf", "newell2016hourglass"}
    assert len(keys) == len(set(keys))
    assert "% forest" in text


def test_a_name_cannot_begin_an_entry_of_bibtex(view):
    view.rows.loc[0, "name"] = "@article{x,\n@book{y"
    entries = re.findall(r"@(\w+)", typeset.as_bibtex(view).decode())
    assert set(entries) <= {"inproceedings", "article"}
    assert "@book" not in typeset.as_bibtex(view).decode()
