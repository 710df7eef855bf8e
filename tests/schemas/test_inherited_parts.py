"""Versions that inherit parts: what is seen is what a chain of additions, replacements and removals leaves, whoever holds it."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.artifact import Artifact, Damaged, PartKey
from schemas.audit import audit
from schemas.draft import PARENT, Draft
from schemas.fingerprint import Identity
from schemas.ledger import Ledger

Contents = dict[PartKey, str]
LEDGER = Ledger(records_read=1, records_failed=1, bytes_read=7, bytes_failed=7)


def version(folder: Path, parts: Contents, parent: Artifact | None = None, without: set[PartKey] | None = None) -> Artifact:
    inputs = {PARENT: parent.manifest.content_digest} if parent else {}
    draft = Draft.start(folder, "documents", "chain", Identity("documents", 1, {}, inputs, {}))
    draft.assign(inputs={PARENT: parent.path} if parent else {}, roots={}, run={})
    for (stage, key), text in parts.items():
        scratch = draft.scratch() / "new"
        scratch.write_text(text)
        file = draft.adopt(scratch, folder=stage, stem=key, suffix=".txt", role="text")
        draft.add_part(stage, key, [file], {"web": LEDGER})
    return draft.commit(["prepare", "finish"], without or set())


def contents(artifact: Artifact) -> Contents:
    return {part.id: (artifact.path / part.files[0].path).read_text() for part in artifact.manifest.parts}


part_ids = st.tuples(st.sampled_from(["prepare", "finish"]), st.integers(0, 12).map(str))
first_parts = st.dictionaries(part_ids, st.text("abc", max_size=3), max_size=6).map(
    lambda parts: {("prepare", "0"): "p", ("finish", "0"): "f"} | parts
)


@settings(deadline=None)
@given(first_parts, st.lists(st.tuples(st.dictionaries(part_ids, st.text("abc", max_size=3), max_size=4), st.data()), max_size=5))
def test_a_chain_shows_what_was_added_replaced_and_left_out(first: Contents, steps: list[tuple[Contents, st.DataObject]]) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        made, expected = version(root / "v", first), dict(first)
        for number, (parts, data) in enumerate(steps):
            without = data.draw(st.sets(st.sampled_from(sorted(expected)))) if expected else set()
            made = version(root / f"v{number}", parts, made, without)
            expected = {part: text for part, text in expected.items() if part not in without} | parts
            assert contents(made) == expected
        reopened = Artifact.open(made.path).manifest
        assert reopened == made.manifest
        assert [part.id for part in reopened.parts] == sorted(expected, key=lambda part: (part[0] == "finish", int(part[1])))
        assert audit(made) == []
        assert made.missing() == []
        held = {made.path, *(root / one.version for one in reopened.inherits)}
        for other in set(root.iterdir()) - held:  # versions of which nothing is left are not needed
            shutil.rmtree(other)
        assert contents(Artifact.open(made.path)) == expected
        if expected.keys() >= {("prepare", "0"), ("finish", "0")}:  # whoever holds the parts, the content is the same
            assert version(root / "whole", expected).manifest.content_digest == reopened.content_digest


def test_the_ledger_is_of_all_parts(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {("prepare", "0"): "p", ("finish", "0"): "f"})
    child = version(tmp_path / "b", {("finish", "1"): "g", ("finish", "0"): "h"}, parent)
    assert child.manifest.ledgers["web"].records_read == 3


def test_a_version_that_was_changed_damages_those_that_inherit_from_it(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {("prepare", "0"): "p", ("finish", "0"): "f"})
    child = version(tmp_path / "b", {("finish", "1"): "g"}, parent)
    (tmp_path / "a" / "manifest.json").rename(tmp_path / "manifest.json")
    with pytest.raises(Damaged, match="a: has no manifest.json"):
        Artifact.open(child.path)
    version(tmp_path / "other", {("prepare", "0"): "x", ("finish", "0"): "y"}).path.joinpath("manifest.json").rename(
        tmp_path / "a" / "manifest.json"
    )
    with pytest.raises(Damaged, match="version a, which it inherits from, is not the one that it was made with"):
        Artifact.open(child.path)


def test_a_manifest_cannot_lead_out_of_its_name(tmp_path: Path) -> None:
    parent = version(tmp_path / "a", {("prepare", "0"): "p", ("finish", "0"): "f"})
    child = version(tmp_path / "b", {("finish", "1"): "g"}, parent)
    value = json.loads((child.path / "manifest.json").read_bytes())
    value["inherits"][0]["version"] = "../../etc"
    (child.path / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(Damaged, match="was changed after it was committed"):
        Artifact.open(child.path)
