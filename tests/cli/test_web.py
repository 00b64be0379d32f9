from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cli.web import streamlit_command
from tests.cli.conftest import Drf


def test_the_app_is_found_in_its_package_and_asks_nothing() -> None:
    command = streamlit_command(8600, headless=True)
    app = Path(command[4])
    assert app.name == "app.py"
    assert app.is_file()
    assert app.parent.name == "webapp"
    assert {"--server.port=8600", "--server.headless=true"} <= set(command)
    assert "--server.showEmailPrompt=false" in command


def test_the_store_is_handed_on_by_its_whole_path(
    drf: Drf, filled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def execve(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        seen.update(program=program, db=environment["DRF_DB"], path=environment["PATH"])

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.chdir(tmp_path)
    assert drf("web", "--db", "drf.db", "--headless").code == 0
    assert seen["program"] == sys.executable
    assert seen["db"] == str(tmp_path / "drf.db")
    assert seen["path"] == os.environ["PATH"]


def test_no_store_is_told_before_a_browser_opens(drf: Drf) -> None:
    answer = drf("web")
    assert answer.code == 3
    assert "no store at" in answer.err


def test_the_app_serves_and_ends_with_the_command(filled: list[str], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-c", "from cli.main import main; main()", "web", "--headless"),
            *("--port", str(port), "--db", str(tmp_path / "drf.db")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert _answers(f"http://127.0.0.1:{port}/_stcore/health", server) == "ok"
    finally:
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=20)
    assert server.returncode == 0, output
    with pytest.raises(urllib.error.URLError):  # nothing is left behind
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)


def _answers(url: str, server: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return str(response.read().decode())
        except OSError:
            time.sleep(0.2)
    return f"no answer; exit code {server.poll()}"
