"""A lease has one holder at a time, goes over when its holder dies, and fences the old one off."""

import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from schemas.lease import Lease, LeaseLost

SPAWN = multiprocessing.get_context("spawn")


def silent(holder: str) -> None:
    """Nobody to tell."""


def hold(folder: Path, held: Event) -> None:
    with Lease(folder, silent):
        held.set()
        time.sleep(600)


def count_up(folder: Path, counter: Path) -> None:
    """Read, wait, write: loses counts unless the lease keeps others out."""
    with Lease(folder, silent) as lease:
        value = int(counter.read_text())
        time.sleep(0.05)
        counter.write_text(str(value + 1))
        lease.check()


@pytest.mark.slow
def test_only_one_process_works_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [SPAWN.Process(target=count_up, args=(tmp_path / "lease", counter)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0] * 4
    assert counter.read_text() == "4"


@pytest.mark.slow
def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    held = SPAWN.Event()
    holder = SPAWN.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(60)
    with Lease(tmp_path, silent) as lease:
        assert lease.number == 2
        lease.check()


def test_a_released_lease_is_taken_with_a_higher_number(tmp_path: Path) -> None:
    with Lease(tmp_path, silent) as first:
        assert first.number == 1
    with Lease(tmp_path, silent) as second:
        assert second.number == 2
        with pytest.raises(LeaseLost, match="lease 1 was taken over by 2"):
            first.check()


def test_a_silent_holder_on_another_host_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "000001.json").write_text('{"host": "elsewhere", "pid": 1, "started": "5"}')
    os.utime(tmp_path / "000001.json", (0, 0))
    with Lease(tmp_path, silent) as lease:
        assert lease.number == 2


def test_waiting_tells_who_holds_it(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "000001.json").write_text('{"host": "elsewhere", "pid": 1, "started": "5"}')

    def note(holder: str) -> None:
        told.append(holder)
        (tmp_path / "000001.released").touch()

    with Lease(tmp_path, note):
        assert "elsewhere" in told[0]


def test_only_the_last_holder_leaves_files(tmp_path: Path) -> None:
    for number in range(1, 6):
        with Lease(tmp_path, silent) as lease:
            assert lease.number == number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000005.json", "000005.released"]


def test_a_number_that_was_used_and_forgotten_gives_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever saw lease 1 free, and slept until 2 was over and 3 had removed it, must not hold 2."""
    with Lease(tmp_path, silent):
        pass
    late = Lease(tmp_path, silent)
    with Lease(tmp_path, silent):
        pass
    with Lease(tmp_path, silent) as holder:
        seen = iter([1])
        monkeypatch.setattr(late, "_highest", lambda: next(seen, 3))
        monkeypatch.setattr(late, "_is_free", lambda number: True)
        assert holder.number == 3 and not late._take()
        holder.check()


def test_a_look_at_a_lease_takes_nothing(tmp_path: Path) -> None:
    look = Lease(tmp_path / "lease", silent)
    assert (look.holder(), look.touched()) == (None, None) and not (tmp_path / "lease").exists()
    with Lease(tmp_path / "lease", silent):
        assert look.holder() == f"process {os.getpid()} on {os.uname().nodename}"
        os.utime(tmp_path / "lease" / "000001.json", (5, 5))
        assert look.touched() == 5
    assert look.holder() is None and (look.touched() or 0) > 5


def test_a_holder_may_remove_the_folder_and_whoever_waits_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "lease"

    def removed(holder: str) -> None:
        folder.rename(tmp_path / "trash")
        first.__exit__(None, None, None)

    first = Lease(folder, silent)
    first.__enter__()
    with Lease(folder, removed) as second:
        assert second.number == 1
        second.check()
