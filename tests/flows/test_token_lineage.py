"""A token leads back to its characters, sentence, word and document, and to the bytes of the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.token_lineage import lines_of, trace
from flows.tokenize import tokenize as tokenize_files
from flows.tokenize import validated
from pipelines import corpus, tokenizer, tokens
from pipelines.job import Job
from pipelines.runners import run_in_process
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Annotator, Corpus, Source, Tokenizer, Tokens
from schemas.store import Store

ROOT = Path(__file__).parents[2]
PLAIN = "The cat sat on the mat. It slept.\nAnd then, 他说：“很好！” it woke."
REPAIRED = "A line\r\nand another\x01 one. More of it 中文。"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, dict[str, Artifact]]:
    """Documents of two files, one of which cleaning changes, a tokenizer and tokens, in a store."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "plain.txt").write_text(PLAIN, encoding="utf-8")
    (folder / "repaired.txt").write_bytes(REPAIRED.encode())
    (folder / "twin.txt").write_text(PLAIN, encoding="utf-8")
    store = Store(tmp_path_factory.mktemp("store"))
    settings = Corpus(sources=(Source(name="s", path="", format="txt", lang="en"),), annotate={"en": Annotator(engine="plain")})
    roots = {"s": str(folder)}
    listing = corpus.list_inputs(settings, roots)
    identity = Identity("documents", corpus.STEP_VERSION, corpus.identity_settings(settings), {"sources": listing.digest}, {})
    draft = store.start("documents", "d", identity, corpus.plan_splits(listing, settings))
    draft.assign(inputs={}, roots=roots, run={"workers": 1})
    run_in_process(Job.open(draft.path))
    found = {"documents": draft.commit(["prepare", "finish"])}
    for step, module, section in (("tokenizer", tokenizer, Tokenizer(vocab_size=512)), ("tokens", tokens, Tokens())):
        inputs = {role: artifact.manifest.content_digest for role, artifact in found.items()}
        draft = store.start(step, "d", Identity(step, 1, section.model_dump(mode="json"), inputs, {}))
        draft.assign(inputs={role: artifact.path for role, artifact in found.items()}, roots={}, run={"workers": 1})
        module.run(draft)
        found[step] = draft.commit([step])
    return store, folder, found


def document(artifact: Artifact, uri: str) -> dict[str, Any]:
    return next(row for path in artifact.paths("documents") for row in read_shard(path).to_pylist() if row["uri"] == uri)


@pytest.mark.parametrize(("uri", "exact"), [("plain.txt", True), ("repaired.txt", False)])
def test_every_token_leads_back_to_its_bytes(made: tuple[Store, Path, dict[str, Artifact]], uri: str, exact: bool) -> None:
    store, folder, found = made
    row, data = document(found["documents"], uri), (folder / uri).read_bytes()
    count = trace(store, found["tokens"], row["doc_id"].hex(), None)["tokens"]
    text = b""
    for number in range(count):
        told = trace(store, found["tokens"], row["doc_id"].hex()[:12], number)
        token, (start, end) = told["token"], told["token"]["bytes"]
        own = row["text"].encode()[start:end]
        text += own
        begins, stops = token["file"]["bytes"]
        assert token["file"]["exact"] is exact
        assert data[begins:stops] == (own if exact else REPAIRED.encode())
        first, last = token["characters"]
        assert row["text"][first:last] == token["text"] and own in token["text"].encode()
        assert (
            token["sentence"]["bytes"][1] in row["sentence_ends"] and token["sentence"]["bytes"][0] <= start < token["sentence"]["bytes"][1]
        )
        if token["word"]:
            assert token["word"]["text"] == row["text"].encode()[slice(*token["word"]["bytes"])].decode()
            assert token["word"]["bytes"][0] < end and token["word"]["bytes"][1] > start
        assert list(lines_of(told))
    assert text.decode() == row["text"]


def test_a_document_is_found_by_the_beginning_of_its_id(made: tuple[Store, Path, dict[str, Artifact]]) -> None:
    store, _, found = made
    row = document(found["documents"], "plain.txt")
    whole = row["doc_id"].hex()
    for artifact in (found["documents"], found["tokens"]):
        told = trace(store, artifact, whole[:9].upper(), None)
        assert (told["doc_id"], told["uri"], told["text"]) == (whole, "plain.txt", row["text"])
    assert f"document   {whole} of {found['documents'].reference}" in list(lines_of(told))


def test_rejected_documents_say_why(made: tuple[Store, Path, dict[str, Artifact]]) -> None:
    store, _, found = made
    (rejected,) = [row for path in found["documents"].paths("rejects") for row in read_shard(path).to_pylist()]
    told = trace(store, found["documents"], rejected["doc_id"].hex(), None)
    assert not told["kept"] and told["reason"] == "exact_duplicate" and told["uri"] == "twin.txt"
    assert any(line.startswith("rejected   exact_duplicate") for line in lines_of(told))


@pytest.mark.parametrize(
    ("kind", "doc", "token", "message"),
    [
        ("tokens", "", None, "is no document id"),
        ("tokens", "xyz", None, "is no document id"),
        ("tokens", "0" * 32, None, "no document has an id that begins with"),
        ("documents", "", 3, "has no tokens: name the tokens artifact"),
        ("tokenizer", "00", None, "only tokens and documents"),
    ],
)
def test_what_cannot_be_traced_is_told(
    made: tuple[Store, Path, dict[str, Artifact]], kind: str, doc: str, token: int | None, message: str
) -> None:
    store, _, found = made
    with pytest.raises(RequestError, match=message):
        trace(store, found[kind], doc, token)


def test_a_token_that_is_not_there(made: tuple[Store, Path, dict[str, Artifact]]) -> None:
    store, _, found = made
    doc_id = document(found["documents"], "plain.txt")["doc_id"].hex()
    count = trace(store, found["tokens"], doc_id, None)["tokens"]
    with pytest.raises(RequestError, match=f"--token is 0 to {count - 1}"):
        trace(store, found["tokens"], doc_id, count)


def test_tokens_without_documents_lead_to_their_records(made: tuple[Store, Path, dict[str, Artifact]], tmp_path: Path) -> None:
    _, _, found = made
    line = json.dumps({"text": PLAIN}, ensure_ascii=False)
    (tmp_path / "in.jsonl").write_text(f"\n{line}\n", encoding="utf-8")
    store = Store(tmp_path / "store")
    sections = validated(name="x", path=str(tmp_path / "in.jsonl"), format="jsonl", text_field="text", lang="en", engine="auto")
    (path,) = found["tokenizer"].paths("tokenizer")
    artifact = tokenize_files(store, "x", sections[0], str(path), sections[1], 1, lambda line: None).artifact
    (doc_id,) = (row["doc_id"] for place in artifact.paths("places") for row in read_shard(place).to_pylist())
    told = trace(store, artifact, doc_id.hex(), 2)
    start, end = told["token"]["bytes"]
    assert PLAIN.encode()[start:end].decode() == told["token"]["text"]
    assert told["token"]["file"] == {"source": "x", "uri": "in.jsonl", "bytes": [1, 1 + len(line.encode())], "exact": False}


@pytest.mark.slow
def test_the_command_prints_one_object(made: tuple[Store, Path, dict[str, Artifact]]) -> None:
    store, _, found = made
    doc_id = document(found["documents"], "plain.txt")["doc_id"].hex()
    command = [sys.executable, "-m", "flows.cli", "lineage", found["tokens"].reference, "--doc", doc_id, "--token", "1", "--json"]
    done = subprocess.run([*command, "--store", str(store.root)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["token"]["number"] == 1
