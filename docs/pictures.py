"""Make the pictures of the app anew: python docs/pictures.py [FOLDER]

Trains a few methods and an ablation on synthetic faces, by the commands that a user types, and
takes screenshots of the app in Chromium. About ten minutes on two cores; FOLDER keeps the store, so
that a second call only takes the screenshots. Runs are bounded in time: figures differ a little.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout that this file belongs to

from benchmarks.app_load.browse import FLAGS, chromium, serving

DOCS = Path(__file__).parent
METHODS = (  # preset, seed, minutes
    *(("cascade-forest-small", seed, 0.6) for seed in (0, 1)),
    *(("hourglass", seed, 0.6) for seed in (0, 1)),
    ("heatmap-forest", 0, 0.6),
    ("mean-shape", 0, None),
)
FACES = ("--set", "data.synthetic_train_size=1000")
GRID = """
summary = "Trees and depth of a small heatmap forest."
preset = "heatmap-forest"
dataset = "synthetic"
epochs = 4
subset = "common"
seeds = [0, 1]

[factors]
model.trees = [1, 2, 4]
model.tree_depth = [3, 6]

[settings]
data.input_size = 64
data.synthetic_train_size = 1000
model.width = 16
"""


def main(folder: Path) -> None:
    store = folder / "drf.db"
    if not store.exists():
        fill(folder, store)
    with serving(store) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        take(context.new_page(), f"{address}/")
        browser.close()


def fill(folder: Path, store: Path) -> None:
    """Train and evaluate what the pictures show."""
    names = [f"{preset}-s{seed}" for preset, seed, _ in METHODS]
    for name, (preset, seed, minutes) in zip(names, METHODS, strict=True):
        bound = () if minutes is None else ("--max-minutes", str(minutes))
        drf(store, "train", preset, "--name", name, "--seed", str(seed), *bound, *FACES)
        drf(store, "eval", name, "--subset", "common")
    drf(store, "bench", *names)
    grid = folder / "trees-and-depth.toml"
    grid.write_text(GRID, encoding="utf-8")
    drf(store, "sweep", "run", str(grid))


def drf(store: Path, *words: str) -> None:
    command = [sys.executable, "-c", "from cli.main import main; main()", *words]
    subprocess.run(command, check=True, cwd=DOCS.parent, env=os.environ | {"DRF_DB": str(store)})


def take(page: Page, home: str) -> None:
    """Take all pictures of the app at an address."""
    page.goto(home)
    charts = drawn(page, "stPlotlyChart")
    heading = page.get_by_role("heading", name="Cumulative error distributions")
    page.screenshot(path=DOCS / "board.png", clip=above(page, heading))
    charts.first.screenshot(path=DOCS / "ced.png")

    page.goto(f"{home}ablations?sweep=trees-and-depth")
    drawn(page, "stPlotlyChart")
    whole(page)
    page.get_by_test_id("stMainBlockContainer").screenshot(path=DOCS / "ablation.png")

    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{home}images")
    tile = page.locator("[class*=st-key-img_open_] button").first
    tile.wait_for()
    page.wait_for_timeout(3000)
    page.screenshot(path=DOCS / "faces.jpg", quality=80)
    tile.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.wait_for_timeout(3000)
    dialog.screenshot(path=DOCS / "face.jpg", quality=85)


def drawn(page: Page, kind: str) -> Locator:
    """Return the elements of a kind once the first of them stands still."""
    found = page.get_by_test_id(kind)
    found.first.wait_for(timeout=60_000)
    page.wait_for_timeout(4000)
    return found


def whole(page: Page) -> None:
    """Make the window as high as the page."""
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": 1440, "height": height})
    page.wait_for_timeout(2000)


def above(page: Page, what: Locator) -> dict[str, float]:
    """Return the part of the page that ends where a heading begins."""
    whole(page)
    box = what.bounding_box()
    assert box is not None
    return {"x": 0, "y": 0, "width": 1440, "height": box["y"] - 16}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        kept = Path(sys.argv[1])
        kept.mkdir(parents=True, exist_ok=True)
        main(kept.resolve())
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
