"""The model: token shards, near and far: mapped when touched, checked then, and never more of them here than allowed."""

from __future__ import annotations

import http.server
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import torch

from model.data import Batches, training_batches
from model.phases import Stage
from model.shard_cache import ShardCache
from model.text import Special
from schemas.artifact import Artifact, Damaged, File
from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from tests.model.conftest import commit_tokens, small_documents

AROUND = Special(0, 1)
STAGES = [Stage(0, 8, 16, {})]
STEPS = 12


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact) -> Artifact:
    """The small corpus in nine shards."""
    return commit_tokens(tmp_path_factory.mktemp("many") / "tokens", list(small_documents()), tokenizer_artifact, shards=9)


def read(batches: Batches, steps: int = STEPS) -> torch.Tensor:
    return torch.cat([batches.batch_at(step).ids for step in range(steps)])


def sizes(artifact: Artifact) -> list[int]:
    return [file.bytes for file in artifact.manifest.files("tokens")]


@pytest.fixture
def broken(many: Artifact, tmp_path: Path) -> Path:
    """A copy of the artifact, to be damaged."""
    shutil.copytree(many.path, tmp_path / "broken")
    return tmp_path / "broken"


def shard(folder: Path, number: int) -> tuple[Path, File]:
    file = Artifact.open(folder).manifest.files("tokens")[number]
    return folder / file.path, file


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_corrupt_shard_is_named_with_both_digests_and_what_to_do(broken: Path) -> None:
    path, file = shard(broken, 4)
    flip(path)
    with pytest.raises(Damaged) as caught:
        training_batches(broken, STAGES, 0, AROUND)
    message = str(caught.value)
    assert str(path) in message and file.digest in message and digest_file(path) in message
    assert "restore the file" in message and "run the recipe again" in message


def test_a_cut_or_missing_shard_is_named(broken: Path) -> None:
    path, file = shard(broken, 2)
    os.truncate(path, file.bytes - 1)
    with pytest.raises(Damaged, match=f"{path.name}: has {file.bytes - 1:,} bytes, the manifest says {file.bytes:,}"):
        training_batches(broken, STAGES, 0, AROUND)
    path.unlink()
    with pytest.raises(Damaged, match=f"{path.name}: is missing: restore the file"):
        training_batches(broken, STAGES, 0, AROUND)


def test_with_a_kept_index_a_shard_is_checked_when_it_is_first_touched(broken: Path, tmp_path: Path) -> None:
    whole = read(training_batches(broken, STAGES, 0, AROUND, keep=tmp_path / "kept"))
    path, file = shard(broken, 4)
    flip(path)
    batches = training_batches(broken, STAGES, 0, AROUND, keep=tmp_path / "kept")
    row, untouched = 0, []
    with pytest.raises(Damaged, match=f"{path.name}: its bytes have digest .* the manifest says {file.digest}"):
        for row in range(len(whole)):
            untouched.append(batches.samples(np.array([row])).ids)
    assert row > 0 and torch.equal(torch.cat(untouched), whole[:row]), "samples of other shards are not held up"


def put(artifact: Artifact, url: str) -> str:
    """A copy of an artifact at an fsspec URL."""
    files, root = fsspec.url_to_fs(url)
    files.put(f"{artifact.path}/", f"{root}/", recursive=True)
    return url


def test_a_remote_artifact_gives_the_same_batches_from_a_bounded_cache(many: Artifact, tmp_path: Path) -> None:
    url = put(many, "memory://same-batches")
    expected = read(training_batches(many.path, STAGES, 0, AROUND))
    for limit in (sum(sizes(many)), max(sizes(many)) * 3):
        cache = ShardCache(tmp_path / str(limit), limit)
        batches = training_batches(url, STAGES, 0, AROUND, cache=cache, keep=tmp_path / "kept")
        for step in range(STEPS):
            assert torch.equal(batches.batch_at(step).ids, expected[step * 8 : step * 8 + 8])
            assert cache.bytes() <= limit
    again = training_batches(url, STAGES, 0, AROUND, cache=cache, keep=tmp_path / "kept")
    assert torch.equal(read(again), expected)


def test_a_cache_that_cannot_hold_one_shard_says_so(many: Artifact, tmp_path: Path) -> None:
    url = put(many, "memory://too-small")
    with pytest.raises(RequestError, match=r"do not fit the shard cache of 1,000 bytes: allow more"):
        training_batches(url, STAGES, 0, AROUND, cache=ShardCache(tmp_path, 1000))
    with pytest.raises(RequestError, match="remote shards are read through a shard cache"):
        training_batches(url, STAGES, 0, AROUND)


def test_a_corrupt_remote_shard_is_named_and_never_kept(many: Artifact, tmp_path: Path) -> None:
    url = put(many, "memory://corrupt")
    file = many.manifest.files("tokens")[3]
    files, root = fsspec.url_to_fs(url)
    files.pipe_file(f"{root}/{file.path}", files.cat_file(f"{root}/{file.path}")[:-1] + b"?")
    cache = ShardCache(tmp_path, 1 << 30)
    with pytest.raises(Damaged, match=f"memory://corrupt/{file.path}: its bytes have digest .* the manifest says {file.digest}"):
        training_batches(url, STAGES, 0, AROUND, cache=cache)
    assert not (tmp_path / file.digest).exists() and not list(tmp_path.glob("*.part"))
    files.rm(f"{root}/{file.path}")
    with pytest.raises(Damaged, match=f"{file.path}: is missing"):
        training_batches(url, STAGES, 0, AROUND, cache=cache)
    with pytest.raises(Damaged, match="memory://nowhere: has no manifest.json"):
        training_batches("memory://nowhere", STAGES, 0, AROUND, cache=cache)


def test_a_copy_that_the_disk_changed_is_fetched_again(many: Artifact, tmp_path: Path) -> None:
    url = put(many, "memory://changed")
    cache = ShardCache(tmp_path, 1 << 30)
    expected = read(training_batches(url, STAGES, 0, AROUND, cache=cache))
    for file in many.manifest.files("tokens"):
        flip(tmp_path / file.digest)
    assert torch.equal(read(training_batches(url, STAGES, 0, AROUND, cache=cache)), expected)


class Counting(http.server.SimpleHTTPRequestHandler):
    """A web server of files that counts what is asked of it."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def web(many: Artifact) -> Iterator[str]:
    Counting.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=str(many.path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_shards_come_from_a_web_server_each_once(web: str, many: Artifact, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 1 << 30)
    batches = training_batches(web, STAGES, 0, AROUND, cache=cache, keep=tmp_path / "kept")
    assert torch.equal(read(batches), read(training_batches(many.path, STAGES, 0, AROUND)))
    shards = [path for path in Counting.asked if path.endswith(".arrow")]
    assert sorted(shards) == sorted(f"/{file.path}" for file in many.manifest.files("tokens"))


def read_in_process(url: str, folder: str, limit: int, seed: int, answers: multiprocessing.Queue[tuple[str, int]]) -> None:
    cache = ShardCache(Path(folder), limit)
    batches = training_batches(url, STAGES, seed, AROUND, cache=cache)
    most = 0
    for step in range(STEPS):
        batches.batch_at(step)
        most = max(most, cache.bytes())
    answers.put((str(read(batches).sum().item()), most))


@pytest.mark.slow
def test_processes_share_a_cache_and_stay_below_its_limit(web: str, many: Artifact, tmp_path: Path) -> None:
    limit = max(sizes(many)) * 4
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[tuple[str, int]] = context.Queue()
    processes = [context.Process(target=read_in_process, args=(web, str(tmp_path), limit, 0, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    expected = read(training_batches(many.path, STAGES, 0, AROUND)).sum().item()
    assert {total for total, _ in found} == {str(expected)}
    assert max(most for _, most in found) <= limit


def test_what_was_used_longest_ago_goes_first_and_a_killed_download_leaves_room(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 250)
    remote = tmp_path / "remote"
    remote.mkdir()

    def fetch(name: str) -> Path:
        (remote / name).write_bytes(name.encode() * 100)
        file = File(name, "tokens", 100, digest_file(remote / name))
        with cache.fetch(file, name, lambda: open(remote / name, "rb")) as local:
            assert local.read() == name.encode() * 100
        return tmp_path / "cache" / file.digest

    one, two = fetch("1"), fetch("2")
    os.utime(one, ns=(1, 1))
    os.utime(two, ns=(2, 2))
    assert fetch("1") == one
    three = fetch("3")
    assert one.is_file() and three.is_file() and not two.is_file()
    with open(tmp_path / "cache" / "abandoned.part", "wb") as part:
        part.truncate(140)
    fetch("4")
    assert not (tmp_path / "cache" / "abandoned.part").exists()
    assert cache.bytes() <= 250
