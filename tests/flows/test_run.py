"""The whole run through the command: reuse, reasons, audit, rejects, and what the other commands tell of it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.arrow import read_shard
from schemas.store import Store
from tests.flows.conftest import RECIPE, Command, command_in

pytestmark = pytest.mark.slow

STEPS = ["documents", "tokenizer", "tokens", "pretrain", "finetune", "evaluate"]


def actions(outcomes: list[dict[str, Any]]) -> dict[str, str]:
    return {o["step"]: o["action"] for o in outcomes if o["step"] != "report"}


def test_ls_lists_an_artifact_a_step(gristmill: Command) -> None:
    rows = json.loads(gristmill("ls", "--json").stdout)
    assert {(r["kind"], r["name"]) for r in rows} >= {
        ("documents", "tiny"), ("tokenizer", "tiny"), ("tokens", "tiny"), ("model", "tiny"), ("model", "tiny-finetuned"),
        ("evaluation", "tiny"),
    }  # fmt: skip
    assert all(Path(r["path"]).name == r["version"] and r["version"].endswith(r["fingerprint"][:8]) for r in rows)


def test_a_second_run_reuses_every_step(gristmill: Command) -> None:
    outcomes = json.loads(gristmill("run", "tiny.yaml", "--json").stdout)
    assert actions(outcomes) == dict.fromkeys(STEPS, "reuse")
    assert {d["action"] for d in json.loads(gristmill("plan", "tiny.yaml", "--json").stdout)} == {"reuse"}


def test_a_changed_rule_is_named_and_only_what_depends_on_it_runs(workspace: Path, gristmill: Command) -> None:
    (workspace / "stricter.yaml").write_text(RECIPE.replace("min_words: 5", "min_words: 40"))
    decisions = {d["step"]: d for d in json.loads(gristmill("plan", "stricter.yaml", "--json").stdout)}
    assert decisions["documents"]["why"] == ["recipe corpus.rules.en.min_words 5 -> 40"]
    assert {d["action"] for d in decisions.values()} == {"run"}
    (workspace / "longer.yaml").write_text(RECIPE.replace("epochs: 2", "epochs: 1"))
    outcomes = json.loads(gristmill("run", "longer.yaml", "--json").stdout)
    assert actions(outcomes) == {**dict.fromkeys(STEPS, "reuse"), "finetune": "run", "evaluate": "run"}
    assert next(o["why"] for o in outcomes if o["step"] == "finetune") == ["recipe finetune.epochs 2 -> 1"]


def test_a_change_without_effect_on_the_documents_stops_there(workspace: Path, gristmill: Command) -> None:
    (workspace / "same.yaml").write_text(RECIPE.replace("    en: {", "    fr: {min_words: 9}\n    en: {"))
    assert actions(json.loads(gristmill("run", "same.yaml", "--until", "tokens", "--json").stdout)) == {
        "documents": "run", "tokenizer": "reuse", "tokens": "reuse",
    }  # fmt: skip


def test_a_new_file_is_told_by_source(workspace: Path, gristmill: Command) -> None:
    added = workspace / "raw" / "notes" / "new.txt"
    added.write_text("A new note has come in, and it is long enough to be kept by the rules.\n")
    try:
        assert json.loads(gristmill("plan", "tiny.yaml", "--json").stdout)[0]["why"] == ["1 new file in source notes"]
    finally:
        added.unlink()


def test_the_ledger_tells_every_record(workspace: Path, gristmill: Command) -> None:
    shown = json.loads(gristmill("show", "documents/tiny", "--json").stdout)
    notes, reviews = shown["ledgers"]["notes"], shown["ledgers"]["reviews"]
    assert (notes["inputs_listed"], notes["inputs_read"], notes["inputs_empty"]) == (62, 61, 1)
    assert notes["rejected"] == {"min_words": 1}
    assert reviews["records_read"] == 263
    assert reviews["rejected"]["invalid_json"] == 1
    assert reviews["rejected"]["label_conflict"] == 2
    assert reviews["rejected"]["exact_duplicate"] >= 20
    rows = json.loads(gristmill("rejects", "documents/tiny", "--reason", "min_words", "--json").stdout)
    assert rows["rows"][0]["uri"] == "short.txt"


@pytest.mark.parametrize(
    "kind", ["documents/tiny", "tokenizer/tiny", "tokens/tiny", "model/tiny", "model/tiny-finetuned", "evaluation/tiny"]
)
def test_audit_is_clean(gristmill: Command, kind: str) -> None:
    assert json.loads(gristmill("audit", kind, "--json").stdout)["findings"] == []


@pytest.mark.parametrize("damage", ["flip", "delete", "count"])
def test_audit_finds_damage_and_names_the_file(workspace: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(workspace / ".gristmill" / "store", tmp_path / "store")
    artifact = Store(tmp_path / "store").find("documents/tiny")
    target = artifact.paths("documents")[1]
    if damage == "flip":
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 4
        target.write_bytes(content)
    elif damage == "delete":
        target.unlink()
    else:
        target = artifact.path / "manifest.json"
        target.write_text(target.read_text().replace('"records_kept":', '"records_kept":1', 1))
    done = command_in(tmp_path)("audit", "documents/tiny", "--store", "store", check=False)
    assert done.returncode == 1
    assert target.name in done.stdout


def test_rows_of_tokens_are_rows_of_documents(workspace: Path) -> None:
    store = Store(workspace / ".gristmill" / "store")
    documents, tokens = store.find("documents/tiny"), store.find("tokens/tiny")
    for a, b in zip(documents.paths("documents"), tokens.paths("tokens"), strict=True):
        assert read_shard(a)["doc_id"] == read_shard(b)["doc_id"]


def test_generate_is_reproducible(gristmill: Command) -> None:
    texts = [json.loads(gristmill("generate", "model/tiny", "the ", "--max-new", "8", "--json").stdout)["text"] for _ in range(2)]
    assert texts[0] == texts[1]


def test_report_is_one_page_that_asks_for_nothing(workspace: Path) -> None:
    page = (workspace / ".gristmill" / "reports" / "tiny.html").read_text()
    assert "label_conflict" in page
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//|file:)""", page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "documents/none"), "'documents/none' is not in"),
        (("run", "none.yaml"), "none.yaml: cannot be read"),
        (("plan", "tiny.yaml", "--until", "bake"), "there is no step 'bake'"),
        (("rejects", "documents/tiny", "--reason", "ugly"), "no reject has reason 'ugly'"),
    ],
)
def test_wrong_requests_are_one_message(gristmill: Command, arguments: tuple[str, ...], message: str) -> None:
    done = gristmill(*arguments, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_source_is_an_error_before_anything_is_spent(workspace: Path, gristmill: Command) -> None:
    (workspace / "missing.yaml").write_text(RECIPE.replace("raw/notes", "raw/nowhere").replace("name: tiny", "name: missing"))
    done = gristmill("run", "missing.yaml", check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert not (workspace / ".gristmill" / "store" / "documents" / "missing").exists()


def test_doctor(gristmill: Command) -> None:
    findings = json.loads(gristmill("doctor", "--json").stdout)
    assert {f["what"] for f in findings} >= {"python", "compiler", "memory", "store"}
