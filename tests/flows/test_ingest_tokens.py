"""Tokens of a version that extends another: old shards are inherited, new ones encoded by the same tokenizer, and loaders read them all."""

from pathlib import Path

import numpy as np
import pytest

from flows.lineage import lineage
from model.text import Special, open_text
from pipelines import tokenizer
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.recipe import Recipe, Tokenizer
from schemas.store import Store
from tests.flows.chains import TOKENIZER, assign, ingest, ingest_tokens, recipe, rows
from tests.flows.stores import make


def make_tokenizer(store: Store, wanted: Recipe, documents: Artifact) -> Artifact:
    ready = TOKENIZER.prepare(wanted, store, {"documents": documents})
    made = next(store.committed("tokenizer", wanted.name, ready.identity.fingerprint), None)
    if made is None:
        draft = store.start("tokenizer", wanted.name, ready.identity)
        assign(draft, ready, {"documents": documents})
        tokenizer.run(draft)
        made = draft.commit(TOKENIZER.stages)
    return made


def arrive(folder: Path, n: int) -> None:
    (folder / "in" / "a" / f"{n}.txt").write_text("".join(f"Text number {n} {k} came in.\n" for k in range(20)))


Grown = tuple[Store, Recipe, list[Artifact], list[Artifact]]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """A store with three versions of documents and of tokens."""
    folder = tmp_path_factory.mktemp("grown")
    wanted, store = recipe(folder / "in").model_copy(update={"tokenizer": Tokenizer(vocab_size=512)}), Store(folder / "store")
    documents, tokens = [], []
    for n in range(3):
        arrive(folder, n)
        documents.append(ingest(store, wanted))
        tokens.append(ingest_tokens(store, wanted, documents[-1], make_tokenizer(store, wanted, documents[-1])))
    return store, wanted, documents, tokens


def test_only_new_shards_are_encoded_and_rows_stay_aligned(grown: Grown) -> None:
    store, wanted, documents, tokens = grown
    assert len(list(store.artifacts("tokenizer", "c"))) == 1
    for own, made in zip(documents, tokens, strict=True):
        assert audit(made, own) == []
        new = {part.key for part in own.manifest.own_parts}
        assert {part.key for part in made.manifest.own_parts} == new and len(new) < 5
    assert [len(made.manifest.inherits) for made in tokens] == [0, 1, 2]
    assert ingest_tokens(store, wanted, documents[2], next(store.artifacts("tokenizer", "c"))).path == tokens[2].path


def test_a_chain_of_tokens_has_the_bytes_of_tokens_made_at_once(grown: Grown) -> None:
    store, wanted, documents, tokens = grown
    at_once = ingest_tokens(store, wanted.model_copy(update={"name": "other"}), documents[2], next(store.artifacts("tokenizer", "c")))
    assert at_once.manifest.inherits == ()
    assert at_once.manifest.content_digest == tokens[2].manifest.content_digest


def test_loaders_read_inherited_shards(grown: Grown) -> None:
    _, _, _, tokens = grown
    text, digest = open_text(tokens[2].path, "train", Special(0, 1))
    trained = [row for row in rows(tokens[2], "tokens") if row["subset"] == "train"]
    lengths = [len(row["tokens"]) + 2 for row in trained]  # bos and eos stand around
    assert text.index.end.tolist() == np.cumsum(lengths).tolist()
    assert digest == tokens[2].manifest.content_digest


def test_a_lineage_has_the_documents_that_the_tokens_are_of(grown: Grown) -> None:
    store, _, documents, tokens = grown
    model = make(store, "model", "c", 1, {role: store.find(f"{role}/c").manifest.content_digest for role in ("tokenizer", "tokens")})
    for artifact in (tokens[2], model):
        found = lineage(store, artifact)
        assert (found["documents"].path, found["tokens"].path) == (documents[2].path, tokens[2].path)


def test_another_tokenizer_is_trained_if_the_recipe_asks_for_one(grown: Grown) -> None:
    store, wanted, documents, _ = grown
    kept = TOKENIZER.prepare(wanted, store, {"documents": documents[2]})
    assert kept.why == (f"{next(store.artifacts('tokenizer', 'c')).reference}: an incremental version keeps its tokenizer",)
    larger = wanted.model_copy(update={"tokenizer": Tokenizer(vocab_size=600)})
    made = make_tokenizer(store, larger, documents[2])
    tokens = ingest_tokens(store, larger, documents[2], made)
    assert tokens.manifest.inherits == () and rows(tokens, "tokens")
