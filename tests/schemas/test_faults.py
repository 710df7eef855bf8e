"""What is said of errors of the system: what, where, what to do."""

import errno
import os
from pathlib import Path

import pytest

from schemas.faults import GO_ON, explain, is_full
from schemas.files import create, replace


def error(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


def test_each_error_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    full = explain(error(errno.ENOSPC), draft, "prepare 00001")
    assert full.startswith("prepare 00001: No space left on device: ") and f"free on the disk of {draft}. Make room" in full
    assert "ulimit -f" in explain(error(errno.EFBIG), draft, "x")
    unreadable = explain(error(errno.EIO, "/data/a.txt"), draft, "x", "leave it out")
    assert unreadable.startswith("x: /data/a.txt: Input/output error. ") and unreadable.endswith("; leave it out")
    assert "leave it out" not in explain(error(errno.EIO, str(draft / "work" / "a")), draft, "x", "leave it out")
    told = [full, unreadable, explain(OSError("odd"), draft, "x"), explain(error(errno.EDQUOT), draft, "x")]
    assert all(GO_ON in line and "\n" not in line for line in told)
    assert is_full(error(errno.EDQUOT)) and not is_full(error(errno.EIO)) and not is_full(ValueError())


@pytest.mark.parametrize("write", [create, replace])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path, write: object) -> None:
    """A limit of the process on the size of files stands for a full disk; a child has it, so that nobody else does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            assert callable(write)
            write(tmp_path / "record.json", b"x" * 100)
        except OSError as caught:
            code = 0 if (caught.errno, caught.filename) == (errno.EFBIG, str(tmp_path / "record.json")) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(tmp_path.iterdir()) == []
