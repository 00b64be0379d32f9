"""The About page: what readers look for first, then definitions, terms, version, URL keys."""

import drf
from db.connection import open_reader
from db.reads import revision
from drf import literature
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.webapp.conftest import opened, texts
from webapp.links import url_keys


def test_metrics_have_formulas_and_the_rest_is_said(shop):
    app = opened("views/about.py")
    assert not app.exception
    formulas = " ".join(element.value for element in app.latex)
    for part in (r"\mathrm{NME}", r"\mathrm{FR}_t", r"\mathrm{AUC}_t", "G_{36}", "d^{"):
        assert part in formulas
    for part in ("Boxes", "gt_jitter", "depicts nobody", "bootstrap", "Published results"):
        assert part in texts(app)


def test_every_score_and_normaliser_is_explained_and_landmarks_are_those_of_the_store(shop):
    said = texts(opened("views/about.py"))
    for entry in (*scores.SCORES, *scores.NORMALISERS):
        assert entry.title in said
        assert entry.meaning in said
    assert f"{IBUG68.n_points} in {IBUG68.name}" in said


def test_version_and_revision_of_the_store_are_said(shop):
    con = open_reader(shop.path)
    expected = f"drf {drf.__version__}, store at revision {revision(con)}"
    con.close()
    assert expected in texts(opened("views/about.py"))


def test_readers_find_methods_data_landmarks_citation_and_how_to_add_a_run(shop):
    app = opened("views/about.py")
    headers = [header.value for header in app.header]
    assert headers[:5] == ["Methods", "Datasets", "Landmarks", "Add a run", "Cite"]
    said = texts(app)
    assert "hourglass" in said
    assert "0–16" in said
    code = "\n".join(block.value for block in app.code)
    assert "drf import predictions" in code
    assert literature.papers()[literature.BENCHMARK].bibtex.strip() in code
    assert "sagonas" not in code  # the store has no board of 300-W


def test_every_url_key_is_listed(shop):
    app = opened("views/about.py")
    listed = "".join(table.value.to_string() for table in app.table)
    for key in url_keys.KEYS:
        assert key.name in listed
