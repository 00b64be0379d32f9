"""`make bench` runs every benchmark by `python -m benchmarks.NAME --quick`; all end alike."""

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


@pytest.mark.parametrize("name", _benchmarks())
def test_a_benchmark_may_be_quick(name: str) -> None:
    file = REPOSITORY / "benchmarks" / f"{name}.py"
    main = file if file.exists() else file.with_suffix("") / "__main__.py"
    assert re.search(r'add_argument\(\s*"--quick"', main.read_text())


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
