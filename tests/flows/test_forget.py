"""Forgetting from the choice of documents to the last byte, in a store that a run made."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import flows.ensure
from flows.children import plain_name
from flows.compacting import compact
from flows.ensure import ensure
from flows.forgetting.selection import Selection, find
from flows.forgetting.work import forget
from flows.gc import Rules, examine, remove
from flows.report_file import report_path
from flows.steps import wanted_steps
from pipelines.tombstones import REASON, Tombstones
from schemas.arrow import read_shard
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.draft import PARENT
from schemas.errors import RequestError
from schemas.forgotten import is_retired, read_mark
from schemas.recipe import Recipe
from schemas.recipe_file import load_recipe
from schemas.store import NotFound, Store
from tests.flows.conftest import RECIPE, command_in, environment, write_raw
from tests.flows.stores import make

ROOT = Path(__file__).parents[2]
SECRET = "Quillfeather"
LINES = [f"Zanzibar {SECRET} lives at number {n} of the crooked lane, and nobody measures her green telephone." for n in range(5)]
RULES = Rules(3, 7 * 86400.0)


def recipe_in(folder: Path, **changes: object) -> Recipe:
    recipe = load_recipe(folder / "tiny.yaml")
    return recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update=changes)})


def run(folder: Path, until: str = "tokens", **changes: object) -> dict[str, Artifact]:
    """Ensure the data steps of the recipe, in this process; by step name."""
    made: dict[str, Artifact] = {}
    recipe, store = recipe_in(folder, **changes), Store(folder / "store")
    for step in wanted_steps(recipe, until):
        made[step.name] = ensure(step, recipe, store, {need: made[need] for need in step.needs}, lambda line: None).artifact
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store up to tokens; one document of it is told a secret, with a copy and a near duplicate."""
    folder = tmp_path_factory.mktemp("forget")
    write_raw(folder / "raw")
    for name, lines in (("secret", LINES), ("secret_copy", LINES), ("secret_near", [*LINES, "So it is."])):
        (folder / "raw" / "notes" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    text = RECIPE.replace("corpus:\n", "corpus:\n  keep_raw: true\n", 1).replace("conflict_field: label", "conflict_field: label, near: {}")
    (folder / "tiny.yaml").write_text(text.replace("raw/", f"{folder}/raw/"))
    run(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    recipe = (copy / "tiny.yaml").read_text()
    (copy / "tiny.yaml").write_text(recipe.replace(str(finished), str(copy)))
    return copy


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / "store")


def rows(artifact: Artifact, role: str) -> list[dict[str, Any]]:
    return [row for path in artifact.paths(role) for row in read_shard(path).to_pylist()]


def by_uri(documents: Artifact) -> dict[str, str]:
    """Ids of the secret documents in hex, kept or rejected."""
    return {row["uri"]: row["doc_id"].hex() for role in ("documents", "rejects") for row in rows(documents, role) if "secret" in row["uri"]}


def silent(line: str) -> None:
    """Nobody to tell."""


def holding(store: Store, secret: str) -> list[str]:
    """Files of the store that hold a text, as it is or in an Arrow column."""
    found = []
    for path in (path for path in store.root.rglob("*") if path.is_file()):
        if secret.encode() in path.read_bytes() or (path.suffix == ".arrow" and secret in str(read_shard(path).to_pylist())):
            found.append(path.relative_to(store.root).as_posix())
    return found


def test_a_document_goes_with_its_copies_and_is_nowhere_left(folder: Path, store: Store) -> None:
    before, tokens = store.find("documents/tiny"), store.find("tokens/tiny")
    ids = by_uri(before)
    found = find(before, Selection(docs=(ids["secret.txt"],)))
    assert {doc_id.hex() for doc_id in found.by_id} == {ids["secret.txt"], ids["secret_copy.txt"]}
    assert {doc_id.hex() for doc_id in found.cleared} == {ids["secret_near.txt"]}
    assert found.documents == {("notes", "en"): (1, sum(len(line) + 1 for line in LINES))} and found.rejects == 1
    model = make(store, "model", "tiny", 1, {"tokens": tokens.manifest.content_digest})
    evaluation = make(store, "evaluation", "tiny", 1, {"pretrain": model.manifest.content_digest})
    stranger = make(store, "model", "other", 1, {"tokens": "0" * 64})
    report_path(store, "tiny").parent.mkdir()
    report_path(store, "tiny").write_text(SECRET)

    done = forget(store, "tiny", Selection(docs=(ids["secret.txt"],)), True, silent)

    after, fewer = store.find("documents/tiny"), store.find("tokens/tiny")
    assert done.made == (after, fewer) and [audit(after), audit(fewer, after)] == [[], []]
    gone = {bytes.fromhex(ids["secret.txt"])}
    assert rows(after, "documents") == [row for row in rows(before, "documents") if row["doc_id"] not in gone]
    assert rows(fewer, "tokens") == [row for row in rows(tokens, "tokens") if row["doc_id"] not in gone]
    rejects = {row["uri"]: (row["reason"], row["text"]) for row in rows(after, "rejects") if "secret" in row["uri"]}
    assert rejects == {"secret.txt": (REASON, None), "secret_copy.txt": (REASON, None), "secret_near.txt": ("near_duplicate", None)}
    assert set(Tombstones.of(after).by_id) == set(found.by_id) and len(Tombstones.of(after).digests) == 1
    assert {a.reference for a in done.saw} >= {model.reference, evaluation.reference} and stranger not in done.saw
    assert read_mark(model.path) is not None and read_mark(stranger.path) is None
    assert is_retired(before.path) and is_retired(tokens.path) and not is_retired(model.path)
    with pytest.raises(NotFound, match=f"is retired: documents of it were forgotten; see {after.reference}"):
        store.find(before.reference)

    assert holding(store, SECRET) != []
    assert remove(store, RULES, examine(store, RULES, time.time())) == []
    assert holding(store, SECRET) == [] and not report_path(store, "tiny").exists()
    assert [audit(after), audit(fewer, after)] == [[], []]  # what they inherit is still there
    assert examine(store, RULES, time.time()).going == []


def test_tokens_without_rows_are_the_bytes_that_encoding_gives(folder: Path, store: Store) -> None:
    forget(store, "tiny", Selection(source="reviews"), False, silent)
    inputs = {step: store.find(f"{step}/tiny") for step in ("documents", "tokenizer")}
    tokens = store.find("tokens/tiny")
    (store.root / "tokens").rename(folder / "put away")
    recipe = recipe_in(folder)
    step = next(step for step in wanted_steps(recipe) if step.name == "tokens")
    encoded = ensure(step, recipe, store, inputs, silent).artifact
    assert encoded.manifest.content_digest == tokens.manifest.content_digest


def test_a_run_takes_what_is_left_for_a_build_of_the_same_files(folder: Path, store: Store) -> None:
    forget(store, "tiny", Selection(pattern=SECRET), False, silent)
    assert run(folder, "documents")["documents"].path == store.find("documents/tiny").path
    (folder / "raw" / "notes" / "new.txt").write_text("\n".join(LINES) + "\nThis file came later than the others.\n" * 3)
    again = run(folder, "documents")["documents"]
    assert again.manifest.ledgers["notes"].rejected[REASON] == 3 and PARENT not in again.manifest.identity.inputs


def test_a_full_build_obeys_the_tombstones(folder: Path, store: Store) -> None:
    forget(store, "tiny", Selection(pattern=SECRET), True, silent)
    (folder / "raw" / "notes" / "secret_moved.txt").write_text("\n".join(LINES) + "\n")
    (folder / "raw" / "notes" / "secret.txt").rename(folder / "raw" / "notes" / "renamed.txt")
    again = run(folder, "documents", split_bytes=9000)["documents"]
    forgotten = {row["uri"]: row["text"] for row in rows(again, "rejects") if row["reason"] == REASON}
    assert forgotten == dict.fromkeys(("renamed.txt", "secret_copy.txt", "secret_near.txt", "secret_moved.txt"))
    assert audit(again) == [] and Tombstones.of(again).by_id == Tombstones.of(next(store.artifacts("documents", "tiny"))).by_id
    remove(store, RULES, examine(store, RULES, time.time()))
    assert holding(store, SECRET) == []


def test_what_was_begun_before_documents_were_forgotten_is_not_committed(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*arguments: Any) -> Any:
        forget(store, "tiny", Selection(pattern=SECRET), False, silent)
        return work(*arguments)

    work = flows.ensure._work
    monkeypatch.setattr(flows.ensure, "_work", meanwhile)
    with pytest.raises(RequestError, match="documents were forgotten meanwhile, and .* may hold them. Run again"):
        run(folder, "documents", split_bytes=9000)
    (draft,) = (path for path in store.versions("documents", "tiny") if not (path / "manifest.json").exists())
    forget(store, "tiny", Selection(), True, silent)
    assert is_retired(draft)


def test_compacted_versions_have_the_same_rows(store: Store) -> None:
    before, tokens = store.find("documents/tiny"), store.find("tokens/tiny")
    done = compact(store, "tiny", 8_000, silent)
    after, merged = store.find("documents/tiny"), store.find("tokens/tiny")
    assert done.made == (after, merged) and done.before > done.after == len(after.paths("documents")) == len(merged.paths("tokens"))
    assert [audit(after), audit(merged, after)] == [[], []]
    assert [rows(after, role) for role in ("documents", "rejects")] == [rows(before, role) for role in ("documents", "rejects")]
    assert rows(merged, "tokens") == rows(tokens, "tokens")
    assert compact(store, "tiny", 8_000, silent).made == ()  # nothing small is left


KILLED = """
import os, signal, sys
from flows.compacting import compact
from flows.forgetting.selection import Selection
from flows.forgetting.work import forget
from schemas.store import Store
store, what, left = Store(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.link"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
if what == "forget":
    forget(store, "tiny", Selection(pattern="Quillfeather"), True, lambda line: None)
else:
    compact(store, "tiny", 8_000, lambda line: None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["forget", "compact"])
def test_kill_9_anywhere_and_once_more_ends_the_same(finished: Path, tmp_path: Path, what: str) -> None:
    """Dies before its n-th change of a file, for some n; the next attempt finishes what there is."""
    ends: set[tuple[str, ...]] = set()
    for moment in (8, 24, None):
        store = Store(tmp_path / str(moment))
        shutil.copytree(finished / "store", store.root)
        if moment is not None:
            command = [sys.executable, "-c", KILLED, str(store.root), what, str(moment)]
            assert subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode == -signal.SIGKILL
        if what == "forget":
            forget(store, "tiny", Selection(pattern=SECRET), True, silent)
        else:
            compact(store, "tiny", 8_000, silent)
        documents, tokens = store.find("documents/tiny"), store.find("tokens/tiny")
        assert [audit(documents), audit(tokens, documents)] == [[], []]
        ends.add((documents.manifest.content_digest, tokens.manifest.content_digest))
        if what == "forget":
            remove(store, RULES, examine(store, RULES, time.time()))
            assert holding(store, SECRET) == []
    assert len(ends) == 1


def test_what_cannot_be_meant_is_said_so(store: Store) -> None:
    documents = store.find("documents/tiny")
    for wrong, message in (
        (Selection(pattern="("), "is no regular expression of RE2"),
        (Selection(docs=("xyz",)), "is no document id"),
        (Selection(docs=("0",)), "documents have ids that begin with '0'; give more digits"),
        (Selection(source="note"), "there is no source 'note'; there is"),
        (Selection(docs=("0" * 32,)), "no document has an id that begins with '0000"),
    ):
        with pytest.raises(RequestError, match=re.escape(message)):
            find(documents, wrong)
    with pytest.raises(RequestError, match="give the name alone"):
        plain_name("documents", "documents/tiny@2026")


@pytest.mark.slow
def test_the_command_asks_and_tells(folder: Path, store: Store) -> None:
    gristmill = command_in(folder)
    told = gristmill("forget", "tiny", "--uri", "secret*", "--store", str(store.root)).stdout
    assert "1 document " in told and "that were rejected" in told and told.endswith("nothing was changed; --yes does it\n")
    assert SECRET not in told and len(store.versions("documents", "tiny")) == 1
    done = json.loads(gristmill("forget", "documents/tiny", "--uri", "secret*", "--yes", "--json", "--store", str(store.root)).stdout)
    assert len(done["forget"]["doc_ids"]) == 3 and done["outcome"]["newest"] == store.find("documents/tiny").reference
    listed = gristmill("ls", "tokenizer", "--store", str(store.root)).stdout
    assert f"was made from documents that were forgotten, see {done['outcome']['newest']}" in listed
    again = gristmill("forget", "tiny", "--uri", "secret*", "--store", str(store.root)).stdout
    assert "nothing is named that isn't forgotten already" in again and again.endswith("\nnothing was changed\n")
    assert "no document and no reject is what you named" in gristmill("forget", "tiny", "--uri", "x", "--store", str(store.root)).stdout
    refused = gristmill("forget", "tiny", "--store", str(store.root), check=False)
    assert refused.returncode == 2 and "nothing says what to forget" in refused.stderr
    assert "became" in gristmill("compact", "tiny", "--store", str(store.root), "--target", "8000").stdout
    recipe = (folder / "tiny.yaml").read_text()
    (folder / "tiny.yaml").write_text(recipe.replace("min_words: 5", "min_words: 2"))
    replayed = json.loads(gristmill("replay", "tiny", "tiny.yaml", "--reason", "min_words", "--json", "--store", str(store.root)).stdout)
    after = store.find(replayed["artifact"])
    assert audit(after) == [] and "min_words" not in after.manifest.ledgers["notes"].rejected
