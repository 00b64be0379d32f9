"""The exports hold exactly the view, and every row says what it comes from."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from drf.text import latex_escaped
from tests.webapp import examples
from tests.webapp.test_board_view import built, current, path, published  # noqa: F401
from webapp.leaderboard import columns, export, typeset
from webapp.leaderboard.table import DisplayOptions, build
from webapp.ui.text import plain

HOSTILE = "50% \\input{x} & $a_b^c$ ~#{}\n\\end{tabular}"


@pytest.fixture
def view(current):  # noqa: F811
    return built(current, hide=True, baseline="wide", published=published())


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def ours(rows):
    return [row for row in rows if row["kind"] == "method"]


def test_csv_and_json_hold_the_rows_of_the_view_in_its_order(view):
    rows, document = read(export.as_csv(view)), json.loads(export.as_json(view, {}, {}))
    names = list(view.rows["name"][view.rows["kind"] == "method"])
    assert [row["name"] for row in ours(rows)] == names
    assert [row["name"] for row in ours(document["rows"])] == names
    assert len(rows) == len(document["rows"]) == len(view.table)
    for one, other in zip(ours(rows), ours(document["rows"]), strict=True):
        assert float(one["ocular_nme_percent"]) == other["ocular_nme_percent"]


def test_every_exported_row_is_traceable_to_its_runs(view):
    expected = [list(runs) for runs in view.rows["runs"][view.rows["kind"] == "method"]]
    rows = ours(json.loads(export.as_json(view, {}, {}))["rows"])
    assert [row["runs"] for row in rows] == expected
    assert all(len(run) == 32 for row in rows for run in row["runs"])
    assert all(
        len(row["checkpoints"]) == len(row["evaluations"]) == len(row["runs"]) for row in rows
    )
    assert [row["runs"].split() for row in ours(read(export.as_csv(view)))] == expected
    for data in (typeset.as_markdown(view, "c"), typeset.as_latex(view, "c", "l")):
        lines = data.decode().splitlines()
        for runs in expected:
            assert sum(all(run in line for run in runs) for line in lines) == 1


def test_exports_have_the_columns_of_the_view_and_no_others(view):
    row = ours(json.loads(export.as_json(view, {}, {}))["rows"])[0]
    assert {"ocular_nme_low_percent", "ocular_difference_percent", "family"} <= set(row)
    assert not {"preset", "wall_s", "pupil_nme_percent"} & set(row)  # hidden, or not asked for
    header = typeset.as_markdown(view, "c").decode().split("\n")[2]
    assert "Δ NME" in header
    assert "Flip" not in header


def test_json_says_what_was_chosen(view):
    document = json.loads(
        export.as_json(view, {"revision": 7, "baseline": None}, {"sentence": "s"})
    )
    assert document["view"] == {"revision": 7, "baseline": None}
    assert document["verdict"] == {"sentence": "s"}


def test_published_figures_come_with_source_protocol_and_no_rank(view):
    theirs = [r for r in json.loads(export.as_json(view, {}, {}))["rows"]
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
    lines = typeset.as_markdown(view, "c").decode().splitlines()[2:]
    best, second = (f"{view.table['ocular_nme'].iloc[i]:.2f}" for i in (0, 1))
    assert f"**{best}**" in lines[2]
    assert f"<u>{second}</u>" in lines[3]
    assert "<i>" not in "".join(lines)
    assert "The same in every row" in "\n".join(lines)
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[: 2 + len(view.table)]}
    assert len(cells) == 1  # every line has as many columns


BOARD = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}


def test_latex_has_booktabs_bold_best_and_citations(view):
    text = typeset.as_latex(view, "All & more", "300w_full").decode()
    for word in ("toprule", "midrule", "bottomrule", r"\caption{All \& more}"):
        assert word in text
    assert r"\label{tab:300w-full}" in text
    best, second = (f"{view.table['ocular_nme'].iloc[i]:.2f}" for i in (0, 1))
    assert rf"\textbf{{{best}}}" in text
    assert rf"\underline{{{second}}}" in text
    assert r"~\cite{zhou2023star}$^{2}$" in text
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)[1]
    rows = [
        line.split(" \\\\")[0] for line in text.splitlines() if " & " in line and "capt" not in line
    ]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


def test_captions_name_baseline_normaliser_interval_and_marks(view):
    said = typeset.caption(BOARD, view)
    (wide,) = view.rows["runs"][view.rows["name"] == "wide"]
    for words in (
        "300w full, 40 faces, box gt.",
        "normalised by ocular",
        "best in bold, second underlined",
        "95 % intervals are over faces (and seeds if several)",
        f"Δ is the difference to wide ({wide[0][:8]} {wide[1][:8]})",
        "✱: its interval excludes 0",
    ):
        assert words in said
    assert latex_escaped(said) in typeset.as_latex(view, said, "l").decode()
    markdown = typeset.as_markdown(view, said).decode().split("\n")[0]
    assert "normalised by ocular" in markdown
    for row in (ours(read(export.as_csv(view)))[0], ours(json_rows(view))[0]):
        assert row["difference_to"] == "wide"
        assert row["ranked_by"] == "ocular_nme"
        assert row["difference_over"] == "faces and seeds"


def json_rows(view):
    return json.loads(export.as_json(view, {}, {}))["rows"]


def test_a_crashed_run_is_marked_with_a_word_in_a_paper(current):  # noqa: F811
    rows = built(current).rows.drop(columns=["kind", "ocular_low", "ocular_high", "interval_over"])
    rows["ranked"], rows["rank"] = [False, True, True], [None, 1, 2]
    rows["condition"], rows["statuses"] = ["crashed", *["finished"] * 2], [("crashed",)] * 3
    how = DisplayOptions(("ocular",), columns.PAPER, False, rows.iloc[1])
    view = build(current, rows, how)
    text = typeset.as_latex(view, typeset.caption(BOARD, view), "l").decode()
    (line,) = [line for line in text.splitlines() if "forest" in line and "&" in line]
    assert "forest (crashed)" in line
    assert "textbf" not in line
    assert "Rows without a rank are not finished" in text


def test_latex_sets_a_hostile_name_as_it_is(view):
    escaped = latex_escaped(HOSTILE)
    assert "\n" not in escaped
    bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}", "", escaped)
    assert not re.search(r"(?<!\\)[&%$#_{}~^]", bare)
    assert r"\input" not in escaped
    assert r"\end" not in escaped


def views(current, published_too):  # noqa: F811
    """Four views that people export."""
    return {
        "paper": built(current, names=columns.PAPER, baseline="wide", published=published_too),
        "everything": built(current, names=[c.name for c in columns.available()], both=True),
        "runs": built(current, as_runs=True, baseline="forest-s0"),
        "default": built(current, hide=True, baseline="wide", published=published_too),
    }


@pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="no LaTeX on this machine; on Debian: apt-get install texlive-latex-recommended",
)
def test_the_latex_of_typical_views_compiles_and_that_of_a_paper_fits_a_page(current, tmp_path):  # noqa: F811
    tables = [
        typeset.as_latex(view, f"{HOSTILE} {typeset.caption(BOARD, view)}", name).decode()
        for name, view in views(current, published()).items()
    ]
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        "\\usepackage[margin=2.5cm]{geometry}\\usepackage{booktabs}\\begin{document}"
        + "\\clearpage\n".join(f"\\typeout{{<{i}>}}{one}" for i, one in enumerate(tables))
        + "\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    of_paper = log.split("<0>")[1].split("<1>")[0]
    assert "Overfull" not in of_paper, of_paper


def test_a_table_with_many_columns_spans_both_columns_of_a_page(current):  # noqa: F811
    made = views(current, [])
    for name, wide in (("paper", True), ("everything", True)):
        assert (b"\\begin{table*}" in typeset.as_latex(made[name], "c", "l")) is wide
    few = built(current, names=("NME", "Interval"))
    assert b"\\begin{table}" in typeset.as_latex(few, "c", "l")


def test_bibtex_has_the_papers_of_the_families_and_figures_shown(view):
    text = typeset.as_bibtex(view).decode()
    keys = re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)
    figures = {figure.paper for figure in published()}
    own = {"drf", "sagonas2016w300", "sagonas2013w300"}
    assert set(keys) == figures | own | {"shen2017ldlf", "newell2016hourglass"}
    assert len(keys) == len(set(keys))
    assert "% forest" in text


def test_a_name_cannot_begin_an_entry_of_bibtex(view):
    view.rows.loc[0, "name"] = "@article{x,\n@book{y"
    entries = re.findall(r"@(\w+)", typeset.as_bibtex(view).decode())
    assert set(entries) <= {"inproceedings", "article", "software"}
    assert "@book" not in typeset.as_bibtex(view).decode()


@pytest.mark.parametrize("name", examples.HOSTILE)
def test_a_remark_with_the_name_of_a_run_is_text_in_the_markdown_of_a_board(view, name):
    exported = typeset.as_markdown(replace(view, remarks=(f"Imported: {name}.",)), "c").decode()
    assert name not in exported
    assert plain(f"Imported: {name}.") in exported
