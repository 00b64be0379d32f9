"""The board as a folder of files: HTML and data that need no server and no network.

`site` writes it, `folder` sees that nothing else is overwritten and nothing stays half-written.
`board` and `run_page` gather what the pages show, `face_svg` draws landmarks; `templates` and
`assets` are how it looks. Shares the app's charts and words, and never imports Streamlit.
"""
