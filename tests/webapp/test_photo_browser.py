"""A photo dropped on the page in a real browser: what AppTest cannot see, the upload itself."""

from __future__ import annotations

import pytest

from tests.webapp.test_browser import opened
from tests.webapp.test_photo import two_faces

__all__ = ["two_faces"]  # a fixture

pytestmark = pytest.mark.browser


def test_a_visitor_drops_a_photo_and_downloads_its_landmarks(page, address, two_faces, tmp_path):
    opened(page, f"{address}/photo", "Try a photo")
    page.locator("input[type=file]").set_input_files(
        {"name": "two.png", "mimeType": "image/png", "buffer": two_faces}
    )
    page.get_by_role("heading", name="2 faces found").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "landmarks.csv")
    assert (tmp_path / "landmarks.csv").read_text().count("\n") == 1 + 2 * 68
    page.get_by_role("heading", name="2 faces found").wait_for()  # the photo is still there
    assert all(asked.startswith((address, "data:", "blob:")) for asked in page.asked)
