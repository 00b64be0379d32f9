"""Export of the leaderboard for a paper: Markdown, LaTeX with booktabs, and BibTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drf.literature import Paper, cited
from webapp.leaderboard import columns
from webapp.leaderboard.table import View, best_of_view
from webapp.ui.text import plain

Emphasis = Literal["best", "second", ""]


@dataclass(frozen=True)
class Cell:
    """One cell: its text as on the page, whether numbers stand in it, whether it is best."""

    text: str
    number: bool
    emphasis: Emphasis = ""


def as_markdown(view: View) -> bytes:
    """Return a table: best in bold, second underlined, what is not ours in italics, and the run ids
    of every row in its last column."""
    header = [*_titles(view), "Runs"]
    lines = [
        header,
        [":--", ":--"] + ["--:" if c.number else ":--" for c in _first(view)] + [":--"],
    ]
    for row, cells in zip(view.rows.to_dict("records"), _cells(view), strict=True):
        texts = [_markdown(cell, row["kind"] == "published") for cell in cells]
        lines.append([*texts, " ".join(row["runs"])])
    return _note_markdown(view, "\n".join(f"| {' | '.join(line)} |" for line in lines)).encode()


def as_latex(view: View, caption: str) -> bytes:
    """Return a table for \\usepackage{booktabs}: best in bold, second underlined, every text
    escaped, published figures below a rule with their citation, below the table what differs
    between the rows beside the method. Comments name the runs of a row.

    caption: its first sentences; those that the table needs follow.
    """
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escape(' '.join([caption, *view.notes]))}}}",
        f"  \\begin{{tabular}}{{rl{''.join('r' if c.number else 'l' for c in _first(view))}}}",
        "    \\toprule",
        f"    {' & '.join(escape(title) for title in _titles(view))} \\\\",
        "    \\midrule",
    ]
    kinds = view.rows["kind"].tolist()
    for number, (row, cells) in enumerate(
        zip(view.rows.to_dict("records"), _cells(view), strict=True)
    ):
        if row["kind"] == "published":
            if number and kinds[number - 1] != "published":
                lines.append("    \\midrule")
            cells[1] = Cell(cells[1].text, False)
            cite = f"~\\cite{{{row['figures'][0].paper}}}"
            trace = f"published: {row['figures'][0].source}; {row['figures'][0].protocol}"
        else:
            cite, trace = "", f"runs {' '.join(row['runs'])}"
        texts = [_latex(cell) for cell in cells]
        texts[1] += cite
        lines.append(f"    {' & '.join(texts)} \\\\ % {trace}")
    lines += ["    \\bottomrule", "  \\end{tabular}"]
    lines += [f"  \\par\\footnotesize {escape(remark)}" for remark in view.remarks]
    lines += ["\\end{table}", ""]
    return "\n".join(lines).encode()


def as_bibtex(view: View) -> bytes:
    """Return the entries of the papers behind the rows and the published results shown; comments
    name the rows of each."""
    rows = view.rows.to_dict("records")
    families = {str(row["family"]) for row in rows if row["kind"] != "published"}
    keys = {f.paper for row in rows if row["kind"] == "published" for f in row["figures"]}
    entries = []
    for paper in cited(families, keys):
        names = dict.fromkeys(_names_citing(rows, paper))
        # A comment of BibTeX is what is outside of entries, and @ would begin one.
        comment = " ".join(f"% {', '.join(names)}".replace("@", "(at)").split())
        entries.append(f"{comment}\n{paper.bibtex.strip()}\n")
    return "\n".join(entries).encode()


def escape(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line; arrows, signs and Greek in mathematics."""
    return _SPECIAL.sub(lambda found: _LATEX[found[0]], " ".join(text.split()))


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"↓": r"$\downarrow$", "↑": r"$\uparrow$", "Δ": r"$\Delta$", "±": r"$\pm$", "−": "$-$"},
    **{"–": "--", "✱": "$^*$", "·": r"$\cdot$", "↳": r"\quad{}"},
    **{"✓": "", "▶": "", "■": "", "?": "?", "↯": r"$\dagger$", "✗": ""},
}
_SPECIAL = re.compile("|".join(re.escape(character) for character in _LATEX))


def _titles(view: View) -> list[str]:
    return [view.title(key) for key in view.table]


def _first(view: View) -> list[Cell]:
    """The kinds of the columns after rank and name, by the cells that an empty row would have."""
    return [Cell("", columns.is_number(key)) for key in list(view.table)[2:]]


def _cells(view: View) -> list[list[Cell]]:
    emphasised: dict[tuple[object, str], Emphasis] = {}
    for key in view.table:
        if columns.better(key):
            best, second = best_of_view(view, key)
            emphasised |= {(label, key): "second" for label in _labels(second)}
            emphasised |= {(label, key): "best" for label in _labels(best)}
    return [
        [
            Cell(
                columns.text(key, row[key]),
                columns.is_number(key),
                emphasised.get((label, key), ""),
            )
            for key in view.table
        ]
        for label, row in zip(view.table.index, view.table.to_dict("records"), strict=True)
    ]


def _labels(labels: object) -> Sequence[object]:
    return [] if labels is None else list(labels)  # type: ignore[call-overload]


def _markdown(cell: Cell, published: bool) -> str:
    text = cell.text if cell.number else plain(cell.text)
    if published and text != "–":
        return f"*{text}*"
    return {"best": f"**{text}**", "second": f"<u>{text}</u>", "": text}[cell.emphasis]


def _note_markdown(view: View, table: str) -> str:
    said = [f"{title} {value}" for title, value in view.hidden.items()]
    notes = [plain(note) for note in view.notes]
    if said:
        notes.append(f"The same in every row: {plain('; '.join(said))}.")
    return "\n\n".join([table, *notes, *view.remarks]) + "\n"


def _latex(cell: Cell) -> str:
    text = escape(cell.text)
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
