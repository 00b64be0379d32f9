"""A link with six runs and every control set fits where links are cut: 2,000 characters."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from drf.landmarks.markup import IBUG68
from webapp.links import url_keys
from webapp.scores import sorts

LIMIT = 2000
ADDRESS = "https://benchmarks.computer-vision.institute.example.org/face-alignment/drf/"
RUNS = ",".join(["3f2a9c1e"] * 6)
EVALUATION = f"synthetic/challenging/gt_jitter/{max(IBUG68.subset_names, key=len)}/no-flip"
USUAL = "An option of thirty characters"
LONGEST = {  # what may be longer than an option that somebody has written on a control
    "rev": "1234567",
    "since": "2026-12-31T23:59:59Z",
    "lb_order": "Worst first",
    "lb_rows": "Methods",
    "lb_page": "1000",
    "lb_ticked": RUNS,
    "lb_text": "what somebody looks for: a whole sentence of seventy characters, or so",
    "lb_cols": ["AUC@10 ↑ under pupil"] * 24,
    "lb_sort": max(sorts(), key=len),
    "run_eval": EVALUATION,
    "run_leaves": "landmark 36",
    "img_eval": EVALUATION,
    "img_runs": RUNS,
    "img_face": "helen/trainset/a face with a name of sixty letters or so_1.jpg",
    "img_error": ["12.75", "no limit"],
    "cmp_eval": EVALUATION,
    "cmp_runs": RUNS,
    "abl_eval": EVALUATION,
    "abl_factor": "model.a_configuration_key_of_forty_letters",
    "abl_by": "model.a_configuration_key_of_forty_letters",
}


def longest(key: url_keys.UrlKey) -> list[str]:
    value = "false" if isinstance(key.default, bool) else LONGEST.get(key.name, USUAL)
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("page", url_keys.PAGES)
def test_a_link_with_six_runs_and_every_control_set_is_short(page):
    pairs = [(key.name, value) for key in url_keys.of_page(page) for value in longest(key)]
    link = f"{ADDRESS}{page}?{urlencode(pairs, quote_via=quote)}"
    assert len(link) < LIMIT, (len(link), page)
