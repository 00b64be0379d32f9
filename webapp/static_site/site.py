"""Writes the exported folder: pages from templates, pictures, data and assets."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import drf
from db import faces, file, method_ids, predictions, reads
from db.boards.entries import records
from db.maintenance.bundle import Selection, restricted
from db.recording import latencies
from drf.data.crops import decode_jpeg
from drf.data.dataset import terms_of
from drf.scoring import scores
from webapp.scores import board_label
from webapp.static_site import board, run_page
from webapp.static_site.face_svg import VIEW
from webapp.static_site.folder import replaced
from webapp.static_site.run_page import Crop
from webapp.ui import badges, text
from webapp.ui.charts import Chart

_PROCESS = ("host", "pid", "process_started")  # identify a process, of no use in an export


@dataclass
class Site:
    """What was written. pictures: of each dataset; size_bytes: of the whole folder."""

    runs: int = 0
    pictures: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0


def write_site(
    con: sqlite3.Connection, target: Path, selection: Selection, *, faces: int, images: bool
) -> Site:
    """Write a folder that shows the chosen runs, in place of an earlier export if there is one.

    faces   of every run, so many of the worst and so many of the best are drawn
    images  whether faces have pictures; without, no face is drawn
    All is read as of one moment. Raises UsageError as `folder.replaced`, before anything is read.
    """
    facts = {"format": "drf static export", "drf": drf.__version__, "created_at": file.now()}
    with replaced(target, facts) as folder:
        con.execute("BEGIN")
        try:
            site = _Writer(con, folder, selection, faces=faces if images else 0).write()
        finally:
            con.execute("ROLLBACK")
        site.size_bytes = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return site


class _Writer:
    def __init__(
        self, con: sqlite3.Connection, folder: Path, selection: Selection, *, faces: int
    ) -> None:
        self.con, self.folder, self.selection, self.faces = con, folder, selection, faces
        self.site = Site()
        self.crops: dict[int, Crop | None] = {}
        self.templates = jinja2.Environment(
            loader=jinja2.PackageLoader("webapp.static_site"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters |= {
            "figure": _figure,
            "percent": _percent,
            "decimals": text.decimals,
            "format_time": text.format_time,
        }

    def write(self) -> Site:
        for name in ("runs", "faces", "data"):
            (self.folder / name).mkdir()
        entries = self._entries()
        boards = board.boards(self.con, entries, method_ids.method_of_runs(self.con))
        charts = [(of["id"], of.pop("charts")) for of in boards]
        main = boards[0]["id"] if boards else ""
        for run_id in self.selection.runs:
            self._run(run_id, main)
        runs = reads.runs(self.con).set_index("id")[["name", "condition", "family"]]
        others = [
            {"name": badges.marked(*runs.loc[run]), "page": _page(run)}
            for run in self.selection.runs
            if run not in set(entries["run"])
        ]
        target = self.folder / "index.html"
        self._render(
            "index.html",
            target,
            boards=boards,
            charts=charts,
            tables=board.tables(),
            explanation=board.EXPLANATION,
            unranked=others,
            root="",
        )
        self._data(boards)
        self._assets()
        return self.site

    def _entries(self) -> pd.DataFrame:
        chosen, subset = self.selection.runs, self.selection.subset
        entries = reads.leaderboard(self.con, subset=subset, landmarks=None)
        entries = latencies.on_boards(self.con, entries[entries["run"].isin(chosen)])
        return entries.assign(page=entries["run"].map(_page))

    def _run(self, run_id: str, main: str) -> None:
        evaluations = reads.evaluations(self.con, run_id)
        if self.selection.subset is not None:
            evaluations = evaluations[evaluations["subset"] == self.selection.subset]
        shown = run_page.page_variables(
            self.con, run_id, evaluations, main=main, faces=self.faces, keep_crop=self._keep_crop
        )
        self._render("run.html", self.folder / _page(run_id), root="../", side=VIEW, **shown)
        kept = {key: value for key, value in shown["run"].items() if key not in _PROCESS}
        whole = kept | {"evaluations": records(evaluations)}
        _write_json(self.folder / f"data/{run_id}.json", whole)
        errors = self._errors(evaluations)
        if errors:
            table = pd.DataFrame(errors).rename(text.no_formula, axis="index")
            table.to_csv(self.folder / f"data/{run_id}-errors.csv", float_format="%.6g")
        self.site.runs += 1

    def _errors(self, evaluations: pd.DataFrame) -> dict[str, pd.Series]:
        """Return the errors of every face (index: its name) by normaliser and evaluation."""
        return {
            f"{norm} {board_label(row)} evaluation {row['evaluation']}": errors[norm]
            for row in evaluations.to_dict("records")
            for errors in [predictions.image_errors(self.con, row["evaluation"]).set_index("name")]
            for norm in scores.NORMALISER_KEYS
            if errors[norm].notna().any()
        }

    def _keep_crop(self, face: int) -> Crop | None:
        """Write the crop of a face, once for all runs that show it."""
        if face not in self.crops:
            self.crops[face] = self._written(face)
        return self.crops[face]

    def _written(self, face: int) -> Crop | None:
        stored = faces.crop(self.con, face)
        if stored is None:
            return None
        jpeg, to_picture = stored
        (self.folder / f"faces/{face:d}.jpg").write_bytes(jpeg)
        of = self.con.execute("SELECT dataset FROM faces WHERE id = ?", [face])
        self.site.pictures[of.fetchone()[0]] += 1
        return Crop(f"../faces/{face}.jpg", to_picture, len(decode_jpeg(jpeg)))

    def _data(self, boards: list[dict[str, Any]]) -> None:
        _write_json(self.folder / "data/leaderboard.json", boards)
        rows = [{**{k: b[k] for k in reads.BOARD}, **row} for b in boards for row in b["runs"]]
        table = pd.DataFrame(rows).map(text.no_formula)
        table.to_csv(self.folder / "data/leaderboard.csv", index=False, lineterminator="\n")

    def _assets(self) -> None:
        with resources.as_file(resources.files("webapp")) as app:
            shutil.copytree(app / "static_site/assets", self.folder / "assets")
            shutil.copy(app / "icon.svg", self.folder / "assets")
        (self.folder / "assets/plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")

    def _render(self, template: str, target: Path, **variables: Any) -> None:
        page = self.templates.get_template(template).render(
            **variables,
            scores=scores.SCORES,
            normalisers=scores.NORMALISERS,
            version=drf.__version__,
            revision=reads.revision(self.con),
            made=text.format_time(file.now()),
            restricted=restricted(self.site.pictures),
            terms_of=terms_of,
        )
        target.write_text(page, encoding="utf-8")


def _page(run_id: str) -> str:
    return f"runs/{file.run_id(run_id)}.html"


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _percent(value: float | None) -> str:
    return "–" if value is None else text.percent(value)


def _figure(chart: Chart) -> Markup:
    """Return a figure as JSON that no page can mistake for its own markup."""
    chart.figure.layout.template = None  # 7 KB of Plotly's own look, in every figure
    chart.figure.layout.height = None
    held = chart.figure.to_json().replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(held.replace("&", "\\u0026"))
