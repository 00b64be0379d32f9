"""`drf web`: start the app on a store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Db
from db.file import DEFAULT_PATH


def web(
    db: Db = DEFAULT_PATH,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port that the app listens on.")
    ] = 8501,
    headless: Annotated[bool, typer.Option(help="Start without opening a browser.")] = False,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos/--no-photos", help="Let visitors try the released model on a photo of theirs."
        ),
    ] = True,
) -> None:
    """Start the app and open the leaderboard in a browser."""
    from db.connection import open_reader

    open_reader(db).close()  # an unusable store is an error here, before a browser opens
    command = streamlit_command(port, headless, photos)
    # The process becomes Streamlit: signals and the exit code are Streamlit's own, and nothing is
    # left behind when it is killed.
    # Streamlit greets with characters that a terminal may not have.
    encoding = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}
    off = {} if photos else {"DRF_PHOTOS": "off"}
    os.execve(command[0], command, os.environ | encoding | off | {"DRF_DB": str(db.resolve())})


def streamlit_command(port: int, headless: bool, photos: bool = True) -> list[str]:
    """Return the command that serves the app, wherever the package `webapp` is installed."""
    import webapp

    app = Path(webapp.__path__[0]) / "app.py"
    return [
        *(sys.executable, "-m", "streamlit", "run", str(app)),
        f"--server.port={port}",
        f"--server.headless={str(headless).lower()}",
        "--server.showEmailPrompt=false",
        "--browser.gatherUsageStats=false",
        *([] if photos else ["--server.maxUploadSize=1"]),
    ]
