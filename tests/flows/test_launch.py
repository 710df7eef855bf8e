"""Children are retried when they ask for it, end with their group, and die with a killed parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import launch
from flows.launch import ChildFailed, run_child

FORKS = """
import os, sys, time
if os.fork() == 0:
    time.sleep(600)
open(sys.argv[1], 'w').write(str(os.getpid()))
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: object, what: str) -> None:
    for _ in range(600):
        if callable(condition) and condition():
            return
        time.sleep(0.1)
    pytest.fail(f"waited in vain until {what}")


def group_members(group: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                members.append(int(entry.name))
    return members


def test_a_child_that_asks_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.time, "sleep", lambda seconds: None)
    script = f"import os, sys; p = {str(tmp_path / 'tries')!r}; open(p, 'a').write('x'); sys.exit(75 if os.path.getsize(p) < 3 else 0)"
    assert run_child([sys.executable, "-c", script], tmp_path / "log.txt", lambda: None) == 3


def test_a_failing_child_tells_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"exit code 3 \(try 1\)(.|\n)*the disk is on fire"):
        run_child([sys.executable, "-c", "import sys; print('the disk is on fire'); sys.exit(3)"], tmp_path / "log.txt", lambda: None)


def test_a_full_disk_does_not_silence_the_child() -> None:
    """/dev/full takes nothing, as a log on a full disk."""
    script = "import sys; print('error: the disk is full: make room'); sys.exit(1)"
    with pytest.raises(ChildFailed, match="the disk is full: make room"):
        run_child([sys.executable, "-c", script], Path("/dev/full"), lambda: None)


def test_an_interrupted_run_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE", 5.0)
    pid_file = tmp_path / "pid"

    def interrupt() -> None:
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", FORKS, str(pid_file)], tmp_path / "log.txt", interrupt)
    wait_for(lambda: not group_members(int(pid_file.read_text())), "the group is gone")


def test_a_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = [sys.executable, "-c", f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"]
    code = (
        f"from pathlib import Path\nfrom flows.launch import run_child\nrun_child({child!r}, Path({str(tmp_path / 'log')!r}), lambda: None)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the child has started")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_alive(int(pid_file.read_text())), "the child is gone")
