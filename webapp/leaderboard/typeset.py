"""Export of the leaderboard for a paper: Markdown, LaTeX with booktabs, and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from db.recording import box_labels
from drf.literature import BENCHMARK, Paper, cited, papers
from drf.scoring import scores
from drf.text import latex_escaped
from webapp.leaderboard import columns
from webapp.leaderboard.table import Cell, View, cells
from webapp.ui.text import plain

_WIDE = 4
"""Columns beside rank and name from which a table spans both columns of a page."""


def caption(board: Mapping[str, str], view: View) -> str:
    """Return what a table says of itself: the board, the normaliser, the marks, what intervals are
    over, and the baseline. board: dataset, subset, landmarks, box."""
    norms = " and ".join(scores.normaliser(norm).title.lower() for norm in view.norms)
    landmarks = "" if board["landmarks"] == "all" else f", landmarks {board['landmarks']}"
    ours = view.rows[view.rows["kind"] != "published"]
    faces = " or ".join(f"{n:.0f}" for n in sorted(set(ours["n"])))
    parts = [
        f"{board['dataset']} {board['subset']}, {faces} faces{landmarks},"
        f" box {box_labels.title(board['box'])}. Errors in percent, normalised by {norms};"
        " best in bold, second underlined.",
        *view.notes,
    ]
    if not ours["ranked"].eq(True).all():
        parts.append(
            "Rows without a rank are not finished or learned nothing; the word behind the name"
            " says why."
        )
    return " ".join(parts)


def as_markdown(view: View, said: str) -> bytes:
    """Return a table below its caption: best in bold, second underlined, what is not ours in
    italics with a link to its paper, and the run ids of every row in its last column."""
    header = [*map(view.title, view.table), "Runs"]
    lines = [
        header,
        [":--", ":--"] + ["--:" if number else ":--" for number in _numbers(view)] + [":--"],
    ]
    for row, of_row in zip(view.rows.to_dict("records"), cells(view), strict=True):
        texts = [_markdown(cell, row["kind"] == "published") for cell in of_row]
        if note := view.note_of(row):
            address = papers()[row["figures"][0].paper].url
            texts[1] = f"[{texts[1]}]({address}) \\[{note}\\]"
        lines.append([*texts, " ".join(row["runs"])])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    same = [f"{title} {value}" for title, value in view.hidden.items()]
    below = [f"The same in every row: {plain('; '.join(same))}."] if same else []
    notes = [f"\\[{i}\\] {plain(source)}" for i, source in enumerate(view.sources, start=1)]
    parts = [plain(said), table, *below, *map(plain, view.remarks), *notes]
    return ("\n\n".join(parts) + "\n").encode()


def as_latex(view: View, said: str, label: str) -> bytes:
    """Return a table for \\usepackage{booktabs}: best in bold, second underlined, every text
    escaped, published figures below a rule with their citation and note, below the table what
    differs between the rows beside the method. Comments name the runs of a row.

    said: of `caption`; label: for \\ref. A table with many columns is a table*, which spans both
    columns of a page that has two.
    """
    wide = len(_numbers(view)) >= _WIDE
    environment = "table*" if wide else "table"
    titles = [latex_escaped(columns.title(key, view.norms)) for key in view.table]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{{environment}}}[t]",
        "  \\centering",
        f"  \\caption{{{latex_escaped(said)}}}",
        f"  \\label{{tab:{_LABEL.sub('-', label)}}}",
        *(["  \\footnotesize", "  \\setlength{\\tabcolsep}{3pt}"] if wide else ["  \\small"]),
        f"  \\begin{{tabular}}{{rl{''.join('r' if number else 'l' for number in _numbers(view))}}}",
        "    \\toprule",
        f"    {' & '.join(titles)} \\\\",
        "    \\midrule",
    ]
    kinds = view.rows["kind"].tolist()
    for number, (row, of_row) in enumerate(
        zip(view.rows.to_dict("records"), cells(view), strict=True)
    ):
        texts = list(map(_latex, of_row))
        if row["kind"] == "published":
            if number and kinds[number - 1] != "published":
                lines.append("    \\midrule")
            texts[1] += f"~\\cite{{{row['figures'][0].paper}}}$^{{{view.note_of(row)}}}$"
            trace = "published"
        else:
            trace = f"runs {' '.join(row['runs'])}"
        lines.append(f"    {' & '.join(texts)} \\\\ % {trace}")
    lines += ["    \\bottomrule", "  \\end{tabular}"]
    sources = enumerate(map(latex_escaped, view.sources), start=1)
    notes = [f"$^{{{i}}}$ {source}." for i, source in sources]
    for below in (*map(latex_escaped, view.remarks), *notes):
        lines.append(f"  \\par\\smallskip\\footnotesize {below}")
    lines += [f"\\end{{{environment}}}", ""]
    return "\n".join(lines).encode()


def as_bibtex(view: View) -> bytes:
    """Return the entries of this benchmark, of the dataset, and of the papers behind the rows and
    the published results shown; comments name the rows of each."""
    rows = view.rows.to_dict("records")
    ours = [row for row in rows if row["kind"] != "published"]
    families = {str(row["family"]) for row in ours}
    datasets = {str(row["dataset"]) for row in ours}
    keys = {f.paper for row in rows if row["kind"] == "published" for f in row["figures"]}
    entries = []
    for paper in cited(families, keys, datasets):
        about = ["this benchmark"] if paper.key == BENCHMARK else []
        about += [f"dataset {name}" for name in sorted(datasets & set(paper.datasets))]
        names = dict.fromkeys([*about, *_names_citing(rows, paper)])
        # A comment of BibTeX is what is outside of entries, and @ would begin one.
        comment = " ".join(f"% {', '.join(names)}".replace("@", "(at)").split())
        entries.append(f"{comment}\n{paper.bibtex.strip()}\n")
    return "\n".join(entries).encode()


_LABEL = re.compile(r"[^A-Za-z0-9]+")


def _numbers(view: View) -> list[bool]:
    """Whether numbers stand in the columns after rank and name."""
    return [columns.is_number(key) for key in list(view.table)[2:]]


def _markdown(cell: Cell, published: bool) -> str:
    text = cell.text if cell.number else plain(cell.text)
    if published and text != "–":
        return f"*{text}*"
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.emphasis]


def _latex(cell: Cell) -> str:
    text = latex_escaped(cell.text)
    return {"best": f"\\textbf{{{text}}}", "second": f"\\underline{{{text}}}", "": text}[
        cell.emphasis
    ]


def _names_citing(rows: Sequence[dict[str, object]], paper: Paper) -> list[str]:
    return [
        str(row["figures"][0].method if row["kind"] == "published" else row["name"])  # type: ignore[index]
        for row in rows
        if (
            row["figures"][0].paper == paper.key  # type: ignore[index]
            if row["kind"] == "published"
            else row["family"] in paper.families
        )
    ]
