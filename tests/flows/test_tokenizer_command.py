"""`gristmill tokenizer` prints the tables of a report, and nothing that a terminal would obey; a recipe may import a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.planning import plan
from flows.tokenizer import lines_of
from pipelines import tokenizer
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Tokenizer
from schemas.recipe_file import RecipeError, load_recipe
from schemas.store import Store
from tests.pipelines.documents import Document, documents_artifact

DOCUMENTS: list[Document] = [
    ("The river and the castle. " * 20, "en", "train", "books"),
    ("A red \x1b[31m river, a market.\n" * 20, "en", "train", "web"),
    ("我们酒店很好。" * 20, "zh", "train", "web"),
    ("the castle", "en", "validation", "web"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a documents artifact and the tokenizer that was made of it."""
    store = Store(tmp_path_factory.mktemp("workspace") / "store")
    documents = documents_artifact(store.root / "documents" / "small" / "20260101T000000-00000000", [[DOCUMENTS]])
    draft = started(store, documents)
    tokenizer.run(draft)
    draft.commit([tokenizer.STAGE])
    return store


def started(store: Store, documents: Artifact) -> Draft:
    settings = tokenizer.identity_settings(Tokenizer(vocab_size=512))
    identity = Identity("tokenizer", tokenizer.STEP_VERSION, settings, {"documents": documents.manifest.content_digest}, {})
    draft = store.start("tokenizer", "small", identity, [])
    draft.assign(inputs={"documents": documents.path}, roots={}, run={"workers": 1})
    return draft


def printed(store: Store, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--store", str(store.root)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_tables_are_printed(store: Store) -> None:
    lines = printed(store, "tokenizer", "small").splitlines()
    assert lines[0].startswith("tokenizer/small@")
    assert lines[1] == "BPE, byte-level: 310 tokens, 51 of them learned"
    assert lines[2] == "special tokens: bos <|bos|> 0, eos <|eos|> 1, pad <|pad|> 2"
    report = json.loads(printed(store, "tokenizer", "small", "--json"))
    english = report["texts"]["train"]["languages"]["en"]
    row = next(line for line in lines if line.startswith("en "))
    assert row.split() == [
        "en",
        f"{english['bytes']:,}",
        f"{english['bytes_per_token']:.3f}",
        f"{english['fertility']:.3f}",
        "0.00%",
        "100.00%",
    ]
    assert any(line.split()[:1] == ["books"] for line in lines)
    assert f"never seen in the sample: {report['never_seen']['tokens']:,}" in "\n".join(lines)


def test_foreign_text_cannot_move_the_cursor(store: Store) -> None:
    output = printed(store, "tokenizer", "small")
    assert "\x1b" not in output
    report = json.loads(printed(store, "tokenizer", "small", "--json"))
    token = {"id": 9, "text": "\x1b]0;x\x07 \u202eabc" + "x" * 99, "seen": 1}
    shown = "\n".join(lines_of({**report, "longest": {"han": [], "other": [token]}}))
    assert "\\x1b]0;x\\x07·\\u202eabc" in shown and "… [110 characters]" in shown


def test_show_has_it_in_short(store: Store) -> None:
    output = printed(store, "show", "tokenizer/small")
    for fact in ("bytes_per_token", "fertility", "coverage", "never_seen", "unreachable", "sample"):
        assert f"  {fact:<12}" in output


def test_other_artifacts_have_no_such_report(store: Store) -> None:
    with pytest.raises(RequestError, match="only tokenizer artifacts have this report"):
        printed(store, "tokenizer", "documents/small")


RECIPE = """\
name: imported
corpus:
  sources: [{name: notes, path: raw, format: txt, lang: en}]
tokenizer: {path: theirs.json}
"""


@pytest.mark.slow
def test_a_recipe_imports_a_file_by_its_content(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.ensure import ensure
    from flows.steps import wanted_steps

    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("The river and the castle.\n" * 9)
    theirs = store.find("tokenizer/small").path / "tokenizer.json"
    shutil.copyfile(theirs, "theirs.json")
    (tmp_path / "r.yaml").write_text(RECIPE)
    recipe, here, made = load_recipe("r.yaml"), Store(tmp_path / "store"), dict[str, Artifact]()
    for step in wanted_steps(recipe, "tokens"):
        made[step.name] = ensure(step, recipe, here, {need: made[need] for need in step.needs}, print).artifact
    assert (made["tokenizer"].path / "tokenizer.json").read_bytes() == theirs.read_bytes()
    shutil.copyfile("theirs.json", "moved.json")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("theirs.json", "moved.json"))
    assert [decision.action for decision in plan(load_recipe("r.yaml"), here)] == ["reuse"] * 3
    (tmp_path / "moved.json").write_text(theirs.read_text() + "\n")
    decision = plan(load_recipe("r.yaml"), here)[1]
    assert decision.action == "run" and decision.why[0].startswith("input file ")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{path: a.json, pin: b}", "path and pin both say which tokenizer to use"),
        ("{path: a.json, vocab_size: 600}", "vocab_size is for training"),
        ("{kind: unigram, digits: single}", "digits is for byte_bpe, not for unigram"),
        ("{kind: wordpiece, byte_fallback: false}", "byte_fallback is for unigram, not for wordpiece"),
        ("{kind: wordpiece, special_tokens: [a, b, c]}", "give special_tokens by role"),
        ("{special_tokens: [a, b]}", "at least 3 items"),
        ("{pre_tokenizer: o300k}", "'cl100k', 'o200k', 'indent' or 'han'"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, section: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("{path: theirs.json}", section))
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "r.yaml")
