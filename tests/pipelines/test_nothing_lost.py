"""The laws of the ledger on any input: mixed formats, bad records, damaged files, rules of any strictness, and a process that is
killed at any of its file operations and started again. What is committed, `audit` derives again."""

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import shutil
import signal
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.job import Job
from pipelines.runners import run_in_process
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.draft import Draft
from schemas.ledger import Ledger
from schemas.recipe import Annotator, Clean, Corpus, Dedup, HeldOut, Rules
from tests.pipelines.drafts import digests, ledgers, reasons, rows, source, start, texts

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example takes a second or two, and small ones come first: to shrink one would take minutes."""

LIMIT = 2000
"""Bytes of the longest document."""


def good(n: int) -> str:
    return f"a document that is good, number {n}, 第{n}篇"


def json_line(record: int | str) -> bytes:
    return BAD["jsonl"][record] if isinstance(record, str) else json.dumps({"text": good(record), "n": record}).encode()


def csv_line(record: int | str) -> bytes:
    return BAD["csv"][record] if isinstance(record, str) else f'"{good(record)}",{record}'.encode()


BAD: Mapping[str, Mapping[str, bytes]] = {
    "txt": {"undecodable": b"caf\xe9 \xff", "min_chars": b"short", "too_long": b"long " * LIMIT, "empty": b"\x0b\x01"},
    "jsonl": {
        "invalid_json": b'{"text": "cut of',
        "missing_text": b'{"text": 5}',
        "undecodable": b'{"text": "\xc3("}',
        "empty": b'{"text": " "}',
        "min_chars": b'{"text": "short"}',
        "too_long": b'{"text": "' + b"long " * LIMIT + b'"}',
    },
    "csv": {"invalid_csv": b"one, two, three", "undecodable": b'"\xff\xfe",1', "min_chars": b"short,1", "empty": b'" ",1'},
    "parquet": {"missing_text": b"", "min_chars": b"short", "undecodable": b"\xc3(", "empty": b" "},
}
"""Bad records of each format by the reason that they are rejected with."""

PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress,
}  # fmt: skip


def _lines(line: Callable[[int | str], bytes], head: bytes = b"") -> Callable[[list[int | str]], bytes]:
    return lambda records: head + b"".join(line(record) + b"\n" for record in records)


def _parquet(records: list[int | str]) -> bytes:
    values = [
        good(record).encode() if isinstance(record, int) else None if record == "missing_text" else BAD["parquet"][record]
        for record in records
    ]
    written = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(values, pa.binary())}), written, row_group_size=7)
    return written.getvalue()


FILES: Mapping[str, Callable[[list[int | str]], bytes]] = {
    "txt": _lines(lambda record: BAD["txt"][record] if isinstance(record, str) else good(record).encode()),
    "jsonl": _lines(json_line),
    "csv": _lines(csv_line, b"text,n\n"),
    "parquet": _parquet,
}
"""A file of each format with these records."""


@st.composite
def sources_of_records(draw: st.DrawFn) -> list[tuple[str, str, list[int | str]]]:
    """(Format, how it is packed, records) of each source; no good record comes twice."""
    found, first = [], 0
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(list(FILES)))
        packed = draw(st.sampled_from(["", ".gz"] if kind == "parquet" else [*PACKED, ".zip"]))
        records: list[int | str] = list(range(first, first + draw(st.integers(1, 12))))
        first += len(records)
        for bad in draw(st.lists(st.sampled_from(list(BAD[kind])), max_size=6)):
            records.insert(draw(st.integers(0, len(records))), bad)
        found.append((kind, packed, records))
    return found


def write(folder: Path, chosen: list[tuple[str, str, list[int | str]]]) -> dict[str, Path]:
    roots = {}
    for number, (kind, packed, records) in enumerate(chosen):
        path = roots[f"s{number}"] = folder / f"in{number}.{kind}{packed}"
        content = FILES[kind](records)
        if packed == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"member.{kind}", content)
        else:
            path.write_bytes(PACKED[packed](content))
    return roots


def recipe(kinds: list[str], **changed: Any) -> Corpus:
    declared = {"txt": {"unit": "line", "encoding": "utf-8"}, "csv": {"encoding": "utf-8"}}
    sources = tuple(source(f"s{number}", format=kind, **declared.get(kind, {})) for number, kind in enumerate(kinds))
    return Corpus.model_validate(
        {
            "sources": sources,
            "clean": Clean(max_document_bytes=LIMIT),
            "rules": {"en": Rules(min_chars=10)},
            "held_out": HeldOut(validation=0.2, test=0.2),
            "annotate": {"default": Annotator(engine="plain")},
            **changed,
        }
    )


def run_until(draft: Draft, operations: int | None, *, kill: bool = True) -> int:
    """Run the step in a process of its own, which at its nth operation on files is killed, or met by a full disk; its exit code."""
    child = os.fork()
    if child == 0:
        left = operations

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if left is not None and event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir"):
                left -= 1
                if left < 0 and kill:
                    os.kill(os.getpid(), signal.SIGKILL)
                if left == -1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        code = 1
        try:
            sys.addaudithook(watch)
            run_in_process(Job.open(draft.path))
            code = 0
        except OSError as error:
            code = 3 if error.errno == errno.ENOSPC else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def committed(draft: Draft) -> Artifact:
    """The artifact of a draft, which an audit finds nothing wrong with."""
    artifact = draft.commit(["prepare", "finish"])
    assert audit(artifact) == []
    return artifact


Stop = tuple[int, bool]
"""Before which operation on files a process ends, and whether it is killed; else the disk is full there."""
STOPS = st.tuples(st.integers(0, 600), st.booleans())


@pytest.mark.slow
@settings(max_examples=12, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.too_slow])
@given(
    chosen=sources_of_records(),
    split_bytes=st.integers(100, 3000),
    stops=st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=4),
)
def test_n_bad_records_among_m_good_ones_are_n_rejects_and_m_documents_whatever_stops(
    tmp_path_factory: pytest.TempPathFactory,
    chosen: list[tuple[str, str, list[int | str]]],
    split_bytes: int,
    stops: list[Stop],
) -> None:
    tmp_path = tmp_path_factory.mktemp("mixed")
    roots = write(tmp_path, chosen)
    settings_ = recipe([kind for kind, _, _ in chosen], split_bytes=split_bytes)
    draft = start(tmp_path / "draft", settings_, roots)
    for moment, kill in stops:
        assert run_until(draft, moment, kill=kill) in (0, -signal.SIGKILL if kill else 3)
    assert run_until(draft, None) == 0

    records = [record for _, _, of_source in chosen for record in of_source]
    assert texts(draft) == [good(record) for record in records if isinstance(record, int)]
    assert reasons(draft) == [record for record in records if isinstance(record, str)]
    for name, ledger in ledgers(draft).items():
        of_source = chosen[int(name[1:])][2]
        bad = Counter(record for record in of_source if isinstance(record, str))
        assert (ledger.inputs_read, ledger.records_read, ledger.records_failed) == (1, len(of_source), 0)
        assert (ledger.records_kept, Counter(ledger.rejected)) == (len(of_source) - bad.total(), bad)
    if stops:
        whole = start(tmp_path / "whole", settings_, roots)
        run_in_process(Job.open(whole.path))
        assert digests(draft) == digests(whole)
    committed(draft)
    shutil.rmtree(tmp_path)


def plain(kind: str) -> bytes:
    return FILES[kind](list(range(40)))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Format, ending and bytes of a file that was sound, before bytes of it were lost, changed or put in."""
    kind = draw(st.sampled_from(list(FILES)))
    packed = draw(st.sampled_from([*PACKED, ".zip"]))
    content = plain(kind)
    if packed == ".zip":
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", content)
            archive.writestr("b", content)
        content = written.getvalue()
    else:
        content = PACKED[packed](content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        lost = draw(st.sampled_from([0, 1, 4, 100, len(content)]))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + lost :]
    return kind, packed, content


@pytest.mark.slow
@settings(max_examples=30, deadline=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.too_slow])
@given(file=damaged(), split_bytes=st.integers(200, 5000), min_chars=st.integers(0, 60), max_digits=st.floats(0, 0.3), near=st.booleans())
def test_whatever_was_done_to_a_file_the_ledger_balances_and_its_neighbours_are_whole(
    tmp_path_factory: pytest.TempPathFactory,
    file: tuple[str, str, bytes],
    split_bytes: int,
    min_chars: int,
    max_digits: float,
    near: bool,
) -> None:
    tmp_path = tmp_path_factory.mktemp("damaged")
    kind, packed, content = file
    neighbours = [good(n) for n in range(1000, 1010)]
    roots = {"s0": tmp_path / "before.txt", "s1": tmp_path / f"in.{kind}{packed}", "s2": tmp_path / "behind.txt"}
    roots["s0"].write_text("".join(text + "\n" for text in neighbours[:5]))
    roots["s1"].write_bytes(content)
    roots["s2"].write_text("".join(text + "\n" for text in neighbours[5:]))
    strict = {"en": Rules(min_chars=min_chars, max_digits=max_digits)}
    settings_ = recipe(
        ["txt", kind, "txt"], split_bytes=split_bytes, rules=strict, dedup=Dedup.model_validate({"near": {} if near else None})
    )
    draft = start(tmp_path / "draft", settings_, roots)
    run_in_process(Job.open(draft.path))

    total = ledgers(draft)
    assert total["s0"].records_read == total["s2"].records_read == 5
    if not near and min_chars <= 40:
        assert total["s0"].records_kept + total["s0"].rejected.get("max_digits", 0) == 5
    damaged_one = total.get("s1", Ledger())
    assert damaged_one.inputs_listed == 1 and damaged_one.inputs_unreadable == 0
    assert (damaged_one.inputs_empty == 1) == (not content)
    found = Counter(row["source"] for row in rows(draft, "documents")) + Counter(row["source"] for row in rows(draft, "rejects"))
    assert all(found[name] == ledger.records_read for name, ledger in total.items())
    assert all(row["detail"] for row in rows(draft, "rejects"))
    committed(draft)
    shutil.rmtree(tmp_path)
