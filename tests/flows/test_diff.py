"""What `gristmill diff` says of two real versions: what decided them, their files and ledgers, and document by document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.store import Store
from tests.flows.conftest import RECIPE, Command, Server, command_in

STRICTER = RECIPE.replace("{min_words: 5}", "{min_words: 52}").replace("{engine: rjieba}", "{engine: plain}")


@pytest.fixture(scope="module")
def folder(workspace: Path, tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """The shared run, and a second version of its documents, tokenizer and tokens: other rules, another annotator, other files."""
    folder = tmp_path_factory.mktemp("diff")
    for name in ("raw", ".gristmill/store"):
        shutil.copytree(workspace / name, folder / name)
    notes = folder / "raw" / "notes"
    (notes / "00.txt").unlink()
    (notes / "01.txt").write_text("")
    (notes / "new\x1b.txt").write_text("One more note that says something of a \x1b[31mlength. " * 20)
    (folder / "stricter.yaml").write_text(STRICTER)
    command_in(folder, server)("run", "stricter.yaml", "--until", "tokens")
    return folder


def versions(folder: Path, kind: str) -> tuple[str, str]:
    """References of the first and the last version of a kind."""
    found = [a.reference for a in Store(folder / ".gristmill" / "store").artifacts(kind, "tiny")]
    return found[0], found[-1]


def told_of(folder: Path, kind: str, *options: str) -> dict[str, Any]:
    done = command_in(folder)("diff", *versions(folder, kind), *options, "--json", check=False)
    assert done.returncode == 1, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow
def test_documents_differ_in_what_was_asked_read_and_kept(folder: Path) -> None:
    told = told_of(folder, "documents")
    assert {(d["path"], d["old"], d["new"]) for d in told["settings"]} >= {("rules.en.min_words", 5, 52)}
    files = {(f["source"], f["what"]): f["names"] for f in told["files"]}
    assert files == {("notes", "removed"): ["00.txt"], ("notes", "changed"): ["01.txt"], ("notes", "new"): ["new\x1b.txt"]}
    ledger = {(c["source"], c["count"]): c["difference"] for c in told["ledgers"]}
    assert ledger["notes", "inputs_empty"] == 1
    sides = told["documents"]
    store = Store(folder / ".gristmill" / "store")
    kept = [sum(le.records_kept for le in a.manifest.ledgers.values()) for a in map(store.find, versions(folder, "documents"))]
    both = sides["equal"]["documents"] + sides["changed"]["documents"]
    assert [both + sides[side]["documents"] for side in ("only_a", "only_b")] == kept
    assert {group["source"] for group in sides["changed"]["by"]} == {"reviews"}
    assert list(sides["changed"]["aspects"]) == ["annotation"]
    rejected = {one["reason"]: one["documents"] for one in sides["only_a"]["rejected_there"]}
    assert rejected == {"min_words": ledger["notes", "records_rejected:min_words"]}
    assert sides["only_a"]["not_read_there"] == 2
    assert [e["uri"] for e in sides["only_b"]["examples"]] == ["new\x1b.txt"]


@pytest.mark.slow
def test_people_see_no_control_character_and_no_more_than_the_limit(folder: Path) -> None:
    done = command_in(folder)("diff", *versions(folder, "documents"), "--limit", "2", check=False)
    assert "settings   rules.en.min_words 5 -> 52" in done.stdout
    assert "+ only in B" in done.stdout and "new\\x1b.txt" in done.stdout
    assert "\x1b" not in done.stdout
    assert all(
        len(told["examples"]) <= 2 for told in told_of(folder, "documents", "--limit", "2")["documents"].values() if "examples" in told
    )


@pytest.mark.slow
def test_tokens_and_tokenizers_differ(folder: Path) -> None:
    tokens = told_of(folder, "tokens")
    assert {c["count"] for c in tokens["tokens"]} >= {"en"}
    assert all(c["difference"] == c["new"] - c["old"] for c in tokens["tokens"])
    assert tokens["documents"]["changed"]["aspects"]["tokens"] > 0
    tokenizer = told_of(folder, "tokenizer")
    vocabulary = tokenizer["vocabulary"]
    assert vocabulary["shared"] + vocabulary["only_a"]["tokens"] == 512
    assert tokenizer["inputs"][0]["name"] == "documents"


@pytest.mark.slow
def test_equal_ones_give_no_line_and_zero_and_trouble_gives_two(folder: Path, tmp_path: Path) -> None:
    command = command_in(folder)
    a, b = versions(folder, "documents")
    done = command("diff", a, a)
    assert (done.returncode, done.stdout) == (0, "")
    for wrong in ((a, "documents/none"), (a, "tokens/tiny")):
        assert command("diff", *wrong, check=False).returncode == 2
    shutil.copytree(folder / ".gristmill" / "store", tmp_path / "store")
    damaged = Store(tmp_path / "store").find(b).paths("documents")[0]
    damaged.write_bytes(b"no Arrow file")
    done = command("diff", a, b, "--store", str(tmp_path / "store"), check=False)
    assert done.returncode == 2 and damaged.name in done.stderr


@pytest.mark.slow
def test_a_setting_without_effect_is_told_as_that(workspace: Path, gristmill: Command) -> None:
    (workspace / "idle.yaml").write_text(
        RECIPE.replace("    en: {", "    it: {min_words: 9}\n    en: {").replace("name: tiny", "name: idle")
    )
    gristmill("run", "idle.yaml", "--until", "documents")
    done = gristmill("diff", "documents/tiny", "documents/idle", check=False)
    assert done.returncode == 1
    assert "the content is the same; what decided it is not" in done.stdout
    assert "settings   rules.it added" in done.stdout
