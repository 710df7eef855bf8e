"""What no record is to blame for: a full disk, a file that can't be read to its end, too little memory. Each is told, with what to
do; nothing half done is committed; and the next run goes on and ends with the same bytes."""

import functools
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest

from pipelines import places
from pipelines.job import MAX_ATTEMPTS, Job
from pipelines.places import Place
from pipelines.runners import run_in_process
from pipelines.sources import InputChanged
from pipelines.splits import list_inputs
from pipelines.workers import TRY_AGAIN
from schemas.artifact import Damaged
from schemas.audit import audit
from schemas.draft import Draft
from schemas.faults import GO_ON
from schemas.recipe import Annotator, Corpus
from tests.pipelines.drafts import ROOT, attempted, command, digests, ledgers, make, rows, source, start
from tests.pipelines.serving import served


def recipe(**changed: object) -> Corpus:
    return Corpus.model_validate(
        {"sources": (source(),), "split_bytes": 20_000, "annotate": {"default": Annotator(engine="plain")}, **changed}
    )


def write(folder: Path, files: int = 6) -> Path:
    folder.mkdir()
    draw = random.Random(1)
    for n in range(files):
        (folder / f"{n}.txt").write_text("".join(f"Line {line} says {draw.randbytes(25).hex()}.\n" for line in range(500)))
    return folder


def run(draft: Draft, *, before: tuple[str, ...] = (), limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*before, *command(draft)], cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit)


def nothing_is_committed(draft: Draft) -> bool:
    with pytest.raises(Damaged):
        draft.commit(["prepare", "finish"])
    return not (draft.path / "manifest.json").exists()


def mounts() -> bool:
    """Whether this user may mount a file system in a name space of their own."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


FULL_THEN_NOT = """
mount -t tmpfs -o size=400k none "$1" && cp -r "$2" "$1/draft" && shift 2
"$@"; echo "ended with $?" >&2
rm -f "$OUT/told"; find "$FULL/draft" -name manifest.json >&2
mount -o remount,size=40m "$FULL" && "$@"; echo "ended with $?" >&2
cp -r "$FULL/draft" "$OUT"
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not mounts(), reason="no file system can be mounted here (unshare -Urm); the limit on the size of files is tested instead"
)
def test_a_full_disk_is_told_and_with_room_the_run_goes_on(tmp_path: Path) -> None:
    root = write(tmp_path / "in")
    whole = make(tmp_path / "whole", recipe(), {"s": root})
    draft = start(tmp_path / "draft", recipe(), {"s": root}, workers=2)
    full, out = tmp_path / "full", tmp_path / "out"
    for folder in (full, out):
        folder.mkdir()
    step = command(Draft(full / "draft", draft.plan, draft.task))
    script = ["unshare", "-Urm", "sh", "-c", FULL_THEN_NOT, "sh", str(full), str(draft.path), *step]
    done = subprocess.run(
        script, cwd=ROOT, env={**os.environ, "FULL": str(full), "OUT": str(out)}, capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told and all("No space left on device: 0.0 MB of 0.4 MB are free on the disk of" in line and GO_ON in line for line in told)
    assert [line for line in done.stderr.splitlines() if line.startswith("ended")] == ["ended with 1", "ended with 0"]
    assert "manifest.json" not in done.stderr
    assert digests(Draft.open(out / "draft")) == digests(whole)


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    root = write(tmp_path / "in")
    whole = make(tmp_path / "whole", recipe(), {"s": root})
    draft = start(tmp_path / "draft", recipe(), {"s": root})
    ended = run(draft, limit=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10_000, 10_000)))
    assert ended.returncode == 1 and GO_ON in ended.stderr
    assert ended.stderr.startswith("error: prepare 0000") and "File too large" in ended.stderr and "ulimit -f" in ended.stderr
    # However often that happens, no split is to blame.
    assert Job.open(draft.path).attempts("prepare") == {} and nothing_is_committed(draft)
    assert not [path for path in draft.path.rglob(".*") if path.is_file()]  # no half a record
    assert run(draft).returncode == 0
    assert digests(draft) == digests(whole)


def test_a_read_error_of_the_disk_names_the_file() -> None:
    itself = Place("/proc/self/mem")  # whose first page nobody can read
    with pytest.raises(OSError, match="Input/output error") as raised:
        list(itself.blocks())
    assert raised.value.filename == "/proc/self/mem"


def test_a_file_that_cannot_be_read_while_planning_is_counted(tmp_path: Path) -> None:
    (tmp_path / "mem.txt").symlink_to("/proc/self/mem")
    listing = list_inputs(recipe(), {"s": str(tmp_path / "mem.txt")})
    assert listing.unreadable == (("s", "mem.txt", "Input/output error"),)


class Breaks(SimpleHTTPRequestHandler):
    """A web server without ranges, which hangs up in the middle of `b.txt` while a file `broken` is there."""

    def __init__(self, request: object, address: object, server: object, folder: Path) -> None:
        super().__init__(request, address, server, directory=str(folder))  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if not (self.path.endswith("b.txt") and Path(self.directory, "broken").exists()):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True


@pytest.mark.slow
def test_a_connection_that_breaks_in_the_middle_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text("".join(f"Line {n} of {name}, {n * 7919 % 1000003}.\n" for n in range(20_000)))
    settings = recipe(split_bytes=400_000)
    with served(functools.partial(Breaks, folder=folder)) as url:
        draft = start(tmp_path / "draft", settings, {"s": f"{url}/"}, workers=2)  # type: ignore[dict-item]
        (folder / "broken").touch()
        ended = run(draft)
        assert ended.returncode == 1, ended.stderr
        told = ended.stderr.splitlines()[-1]
        assert told.startswith("error: prepare 0000") and "/: b.txt: " in told and GO_ON in told and "exclude" in told
        assert nothing_is_committed(draft)
        (folder / "broken").unlink()
        assert run(draft).returncode == 0
    places.remote_folder.cache_clear()
    fsspec.get_filesystem_class("http").clear_instance_cache()
    assert len(rows(draft, "documents")) == 3 and audit(draft.commit(["prepare", "finish"])) == []


def test_a_remote_file_that_went_after_planning_is_a_changed_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("text\n")
    with served(functools.partial(Breaks, folder=tmp_path / "in")) as url:
        draft = start(tmp_path / "draft", recipe(), {"s": f"{url}/"})  # type: ignore[dict-item]
        (tmp_path / "in" / "a.txt").unlink()
        places.remote_folder.cache_clear()
        with pytest.raises(InputChanged, match=r"a\.txt: is not the file"):
            run_in_process(Job.open(draft.path))
    fsspec.get_filesystem_class("http").clear_instance_cache()


@pytest.mark.slow
def test_a_document_that_takes_more_memory_than_there_is(tmp_path: Path) -> None:
    root = write(tmp_path / "in", files=3)
    (root / "9.txt").write_text("".join(f"word{n} is the number {n * 7919 % 1000003}.\n" for n in range(800_000)))
    draft = start(tmp_path / "draft", recipe(allow_failed_splits=True), {"s": root})
    little = functools.partial(resource.setrlimit, resource.RLIMIT_AS, (1200 << 20, 1200 << 20))
    attempted(draft, "prepare", "00003", MAX_ATTEMPTS - 1)
    ended = run(draft, limit=little)
    assert ended.returncode == TRY_AGAIN and "error: prepare 00003: out of memory" in ended.stderr
    assert Job.open(draft.path).attempts("prepare")["00003"] == MAX_ATTEMPTS
    assert run(draft, limit=little).returncode == 0
    [failed] = [part for part in draft.parts("finish") if "failed" in part.facts]
    assert (failed.key, failed.facts["failed"]) == ("00003", f"prepare: exit code {TRY_AGAIN}")
    ledger = ledgers(draft)["s"]
    assert (ledger.records_kept, ledger.records_failed, ledger.bytes_failed) == (3, 1, (root / "9.txt").stat().st_size)
    assert audit(draft.commit(["prepare", "finish"])) == []
