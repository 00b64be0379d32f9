"""`make bench` runs every benchmark by `python -m benchmarks.NAME --quick`; all end alike."""

import ast
import re
import subprocess

import pytest

from benchmarks import run_script, uncertainty
from tests.conftest import REPOSITORY


def _benchmarks() -> list[str]:
    """Return the names that `make bench` goes through."""
    said = subprocess.run(
        ["make", "--dry-run", "bench"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    found = re.search(r"for name in (.*?);", said.stdout)
    assert found
    return found[1].split()


def _arguments(name: str) -> dict[str, bool]:
    """Return the options and arguments of a benchmark, and whether it does nothing without them."""
    file = REPOSITORY / "benchmarks" / f"{name}.py"
    main = file if file.exists() else file.with_suffix("") / "__main__.py"
    found = {}
    for node in ast.walk(ast.parse(main.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_argument"):
            own = ast.unparse(node.args[0]).lstrip("f").strip("'")
            said = {key.arg: ast.unparse(key.value) for key in node.keywords}
            may_lack = own.startswith("-") or said.get("nargs") in ("'*'", "'?'")
            found[own] = said.get("required", str(not may_lack)) != "False"
    return found


@pytest.mark.parametrize("name", _benchmarks())
def test_a_benchmark_may_be_quick(name: str) -> None:
    arguments = _arguments(name)
    assert "--quick" in arguments
    assert [own for own, required in arguments.items() if required] == []


def test_a_benchmark_that_needs_more_than_quick_is_seen() -> None:
    needed = {
        name: {own for own, required in _arguments(name).items() if required}
        for name in ("peers", "uncertainty", "views")
    }
    assert needed == {
        "peers": {"--data-root", "--environments"},
        "uncertainty": {"runs"},
        "views": {"models", "--data-root"},
    }
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert all(f"`{name}`" in contributing for name in needed)
    assert not needed.keys() & set(_benchmarks())


def test_every_script_takes_paths_and_ends_in_one_way() -> None:
    workers = {"peer.py", "peer_worker.py"}  # are started by a benchmark
    for file in (REPOSITORY / "benchmarks").rglob("*.py"):
        text = file.read_text()
        if "__name__ ==" in text and file.name not in workers:
            assert text.endswith('if __name__ == "__main__":\n    run_script(main)\n'), file
            options = re.findall(r"add_argument\([^)]*type=Path[^)]*\)", text)
            assert all("SUPPRESS" in option for option in options), file


def test_what_a_user_can_mend_is_a_sentence_with_the_exit_code_of_drf(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["benchmarks/uncertainty.py", "x", "--db", "~/none.db"])
    with pytest.raises(SystemExit) as ended:
        run_script(uncertainty.main)
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert said.startswith(f"uncertainty: there is no store at {tmp_path / 'none.db'};")
    assert said.count("\n") == 1
