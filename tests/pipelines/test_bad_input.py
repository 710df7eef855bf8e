"""Bad input: each is a reject or one clear error before anything is spent, and its neighbours are unaffected."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits import InputError
from schemas.draft import Draft
from schemas.ledger import Ledger
from schemas.recipe import Clean, Corpus, HeldOut, Rules
from tests.pipelines.drafts import ledgers, make, reasons, rows, source, start, texts

GOOD = ["a good first line", "中文的一行，标点如旧。", "a good last line"]


def corpus(**of_source: Any) -> Corpus:
    return Corpus(
        sources=(source(**{"unit": "line", "origin": "text", **of_source}),), held_out=HeldOut(validation=0, test=0), keep_raw=True
    )


def made(tmp_path: Path, data: bytes, name: str = "in.txt", **of_source: Any) -> Draft:
    (tmp_path / name).write_bytes(data)
    return make(tmp_path / "draft", corpus(**of_source), {"s": tmp_path / name})


def lines(*extra: bytes, at: int = 1) -> bytes:
    good = [line.encode() for line in GOOD]
    return b"\n".join([*good[:at], *extra, *good[at:]]) + b"\n"


def test_invalid_utf8_in_one_line(tmp_path: Path) -> None:
    draft = made(tmp_path, lines(b"caf\xe9 \xff\xfe broken"), encoding="utf-8")
    assert texts(draft) == GOOD
    [reject] = rows(draft, "rejects")
    assert (reject["reason"], reject["stage"], reject["record"], reject["record_bytes"]) == ("undecodable", "decode", 18, 14)
    assert "byte 3" in reject["detail"] and reject["text"] == "caf\\xe9 \\xff\\xfe broken"
    assert ledgers(draft)["s"].bytes_rejected == {"undecodable": 14}


def test_invalid_utf8_in_one_of_many_lines_needs_no_declaration(tmp_path: Path) -> None:
    draft = made(tmp_path, b"".join(f"第{n}行文字。\n".encode() for n in range(50)) + b"\xff\xfe broken\n")
    assert len(texts(draft)) == 50 and reasons(draft) == ["undecodable"]


def test_broken_json_lines(tmp_path: Path) -> None:
    bad = [b'{"text": "x"', b"nonsense", b'{"txt": "x"}', b'{"text": null}', b'{"text": "\xff"}', b'{"text": "  "}']
    good = [json.dumps({"text": line}, ensure_ascii=False).encode() for line in GOOD]
    draft = made(tmp_path, b"\n".join([good[0], *bad, *good[1:]]), "in.jsonl", format="jsonl", unit="file")
    assert texts(draft) == GOOD
    assert reasons(draft) == ["invalid_json", "invalid_json", "missing_text", "missing_text", "undecodable", "empty"]
    assert all(reject["detail"] for reject in rows(draft, "rejects"))
    assert ledgers(draft)["s"].records_read == 9


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = b"".join(b"line %d of a stream that was cut\n" % n for n in range(20_000))
    draft = made(tmp_path, gzip.compress(whole, mtime=0)[:-20_000], "in.txt.gz")
    assert reasons(draft) == ["truncated_input"]
    kept = "".join(text + "\n" for text in texts(draft)).encode()
    assert whole.startswith(kept) and len(kept) > 10_000
    ledger = ledgers(draft)["s"]
    assert (ledger.inputs_read, ledger.records_read) == (1, len(texts(draft)) + 1)
    assert ledger.bytes_read == len(kept) + ledger.bytes_rejected["truncated_input"]


@pytest.mark.slow
def test_a_line_of_50_mb_is_kept(tmp_path: Path) -> None:
    long = ("w" * 49 + " ") * 1_000_000
    draft = made(tmp_path, f"before\n{long}\nafter\n".encode())
    kept = texts(draft)
    assert [kept[0], len(kept[1]), kept[2]] == ["before", 50_000_000, "after"] and reasons(draft) == []


def test_a_line_over_the_limit_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(lines(b"x" * 5000))
    limited = corpus().model_copy(update={"clean": Clean(max_document_bytes=4999)})
    draft = make(tmp_path / "draft", limited, {"s": tmp_path / "in.txt"})
    assert texts(draft) == GOOD and reasons(draft) == ["too_long"]
    assert ledgers(draft)["s"].bytes_rejected == {"too_long": 5000}


def test_an_empty_file_beside_others(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in {"a.txt": "", "b.txt": "text of b", "c.txt": "\n \n", "d.txt": "\ufeff"}.items():
        (folder / name).write_text(text)
    draft = make(tmp_path / "draft", corpus(unit="file"), {"s": folder})
    assert texts(draft) == ["text of b"] and reasons(draft) == ["empty"]
    ledger = ledgers(draft)["s"]
    assert (ledger.inputs_listed, ledger.inputs_read, ledger.inputs_empty) == (4, 3, 1)
    assert (ledger.bytes_read, ledger.bytes_framing) == (15, 3)


def test_nothing_but_empty_files(tmp_path: Path) -> None:
    draft = made(tmp_path, b"")
    assert texts(draft) == [] == reasons(draft) and len(draft.parts("duplicates")) == 1
    assert ledgers(draft)["s"] == Ledger(inputs_listed=1, inputs_empty=1)


def test_an_input_that_cannot_be_read_is_counted_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("text of a")
    (folder / "b.txt").symlink_to("/dev/null")
    draft = make(tmp_path / "draft", corpus(unit="file"), {"s": folder})
    ledger = ledgers(draft)["s"]
    assert (ledger.inputs_listed, ledger.inputs_read, ledger.inputs_unreadable) == (2, 1, 1)
    [[name, uri, why]] = draft.parts("prepare")[0].facts["unreadable"]
    assert (name, uri) == ("s", "b.txt") and "leads out" in why


def test_a_missing_source_is_an_error_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source 's': .*nowhere: No such file or directory.*path"):
        start(tmp_path / "draft", corpus(), {"s": tmp_path / "nowhere"})
    assert not (tmp_path / "draft").exists()


def test_utf16_lines_without_decoding_the_file_first(tmp_path: Path) -> None:
    data = "\n".join(GOOD).encode("utf-16") + b"\n\x00\x00\xd8\n\x00" + "end\n".encode("utf-16-le")
    draft = made(tmp_path, data)
    assert texts(draft) == [*GOOD, "end"] and reasons(draft) == ["undecodable"]
    assert [data[row["record"] :][: row["record_bytes"]].decode("utf-16-le") for row in rows(draft, "documents")] == [*GOOD, "end"]


BAD = {
    b'{"text": "cut of': "invalid_json",
    b"[]": "invalid_json",
    b'{"text": 5}': "missing_text",
    b'{"text": "\xc3("}': "undecodable",
    b'{"text": " "}': "empty",
    b'{"text": "short"}': "min_chars",
    b'{"text": "' + b"long " * 300 + b'"}': "too_long",
}


@settings(max_examples=25, deadline=None)
@given(
    mixture=st.lists(st.integers(0, 1000) | st.sampled_from(list(BAD)), max_size=60),
    split_bytes=st.integers(50, 5000),
    packed=st.booleans(),
)
def test_of_any_mixture_exactly_the_bad_are_rejected(
    tmp_path_factory: pytest.TempPathFactory, mixture: list[int | bytes], split_bytes: int, packed: bool
) -> None:
    tmp_path = tmp_path_factory.mktemp("mixture")
    good = {n: f"a document that is good, number {n}, 第{n}篇" for n in mixture if isinstance(n, int)}
    encoded = [json.dumps({"text": good[n], "n": n}).encode() if isinstance(n, int) else n for n in mixture]
    data = b"".join(line + b"\n" for line in encoded) + b"\n"
    path = tmp_path / ("in.jsonl.gz" if packed else "in.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    settings_ = Corpus(
        sources=(source(format="jsonl", lang="en"),),
        clean=Clean(max_document_bytes=1000),
        rules={"en": Rules(min_chars=10)},
        held_out=HeldOut(validation=0.3, test=0.3),
        split_bytes=split_bytes,
    )
    draft = make(tmp_path / "draft", settings_, {"s": path})
    assert texts(draft) == list(good.values())  # in order, the first of equal ones
    expected = [
        BAD[n] if isinstance(n, bytes) else "exact_duplicate" for at, n in enumerate(mixture) if isinstance(n, bytes) or n in mixture[:at]
    ]
    assert reasons(draft) == expected
    ledger = ledgers(draft)["s"]
    assert (ledger.inputs_listed, ledger.records_read, ledger.bytes_read) == (1, len(mixture), len(data))
    assert ledger.rejected == {reason: expected.count(reason) for reason in sorted(set(expected))}
    assert ledger.bytes_framing == len(mixture) + 1
