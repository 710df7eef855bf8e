"""Workers do each piece once, have what was made ready before, and look for no pandas."""

import os
import signal
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from pipelines.workers import for_each


@lru_cache(maxsize=1)
def opened(folder: str) -> int:
    """Opened once for all: who did it, and a line for each time."""
    with open(Path(folder) / "opened", "a") as file:
        file.write(f"{os.getpid()}\n")
    return os.getpid()


def work(folder: str, number: int) -> None:
    opened(folder)
    (Path(folder) / str(number)).write_text(str(os.getpid()))


def die(folder: str, number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_what_was_made_ready_is_not_made_again_by_any_worker(tmp_path: Path) -> None:
    folder = str(tmp_path)
    opened.cache_clear()
    for_each(work, [(folder, number) for number in range(6)], 2, make_ready=lambda: opened(folder))
    assert (tmp_path / "opened").read_text() == f"{os.getpid()}\n"
    assert str(os.getpid()) not in {(tmp_path / str(number)).read_text() for number in range(6)}


def test_one_process_needs_no_worker(tmp_path: Path) -> None:
    folder = str(tmp_path)
    opened.cache_clear()
    for_each(work, [(folder, number) for number in range(2)], 1, make_ready=lambda: pytest.fail("what for?"))
    assert {(tmp_path / str(number)).read_text() for number in range(2)} == {str(os.getpid())}


def test_a_worker_that_dies_asks_for_another_try(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit:
        for_each(die, [(str(tmp_path), number) for number in range(2)], 2, make_ready=lambda: None)
    assert exit.value.code == 75
