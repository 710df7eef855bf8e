"""Drafts commit once, survive being killed between any two operations, and refuse what does not add up."""

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.arrow import REJECTS, write_shard
from schemas.artifact import Artifact, Damaged
from schemas.audit import audit
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.ledger import Ledger
from schemas.store import NotFound, Store

IDENTITY = Identity("documents", 1, {"min_words": 5}, {}, {})


def reject(text: str) -> pa.RecordBatch:
    row = {"doc_id": b"0" * 16, "source": "web", "uri": "a.txt", "record": 0, "record_bytes": 7, "stage": "judge", "reason": "min_words"}
    return pa.RecordBatch.from_pylist([{**row, "detail": "words 1 < 5", "text": text}], REJECTS)


def add(draft: Draft, key: str, text: str, ledger: Ledger | None = None) -> None:
    scratch = draft.scratch() / f"{key}.tmp"
    rows = write_shard(scratch, REJECTS, [reject(text)], compress=False)
    file = draft.adopt(scratch, folder="rejects", stem=key, suffix=".arrow", role="rejects", rows=rows)
    ledger = ledger or Ledger(records_read=1, bytes_read=7, rejected={"min_words": 1}, bytes_rejected={"min_words": 7})
    draft.add_part("finish", key, [file], {"web": ledger})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def committed(store: Store, content: str = "hello", name: str = "tiny") -> Artifact:
    draft = store.start("documents", name, IDENTITY)
    add(draft, "00000", content)
    return draft.commit(["finish"])


def test_commit_makes_an_artifact_that_audits_clean(store: Store) -> None:
    artifact = committed(store)
    assert audit(artifact) == []
    assert store.find("documents/tiny").manifest == artifact.manifest
    assert not (artifact.path / "work").exists()


def test_equal_content_has_an_equal_digest_and_other_content_another(store: Store) -> None:
    assert committed(store).manifest.content_digest == committed(store).manifest.content_digest
    assert committed(store).manifest.content_digest != committed(store, "other").manifest.content_digest


def test_a_draft_is_not_an_artifact_and_is_found_again(store: Store) -> None:
    draft = store.start("documents", "tiny", IDENTITY)
    assert list(store.artifacts()) == []
    found = store.unfinished("documents", "tiny", IDENTITY.fingerprint)
    assert found is not None
    assert found.path == draft.path
    assert store.unfinished("documents", "tiny", Identity("documents", 2, {}, {}, {}).fingerprint) is None


def test_what_is_made_in_place_of_a_version_sorts_behind_it_whatever_a_kill_left_there(store: Store) -> None:
    first, second = committed(store), committed(store, "other")
    in_place = Identity("corpus", 1, {"without": 1}, {}, {})
    left = store.root / "documents" / "tiny" / f"{first.version.partition('-')[0]}-{in_place.fingerprint[:8]}"
    left.mkdir()  # killed before there was a plan
    draft = store.start("documents", "tiny", in_place, in_place_of=first.version)
    assert first.version < draft.path.name < second.version and draft.path != left
    found = store.unfinished("documents", "tiny", in_place.fingerprint)
    assert found is not None and found.path == draft.path


def test_the_same_part_twice_is_one_and_another_content_is_an_error(store: Store) -> None:
    draft = store.start("documents", "tiny", IDENTITY)
    add(draft, "00000", "hello")
    add(draft, "00000", "hello")
    with pytest.raises(Damaged, match="not deterministic"):
        add(draft, "00000", "other")


def test_a_part_whose_file_is_gone_is_not_valid_and_can_be_made_again(store: Store) -> None:
    draft = store.start("documents", "tiny", IDENTITY)
    add(draft, "00000", "hello")
    part = draft.part("finish", "00000")
    assert part is not None
    (draft.path / part.files[0].path).unlink()
    assert draft.part("finish", "00000") is None
    add(draft, "00000", "hello")
    assert draft.part("finish", "00000") == part


def test_a_ledger_that_does_not_balance_fails_the_commit(store: Store) -> None:
    draft = store.start("documents", "tiny", IDENTITY)
    add(draft, "00000", "hello", Ledger(records_read=2, records_kept=1))
    with pytest.raises(Damaged, match="records read 2 but accounted for 1"):
        draft.commit(["finish"])
    assert list(store.artifacts()) == []


def test_work_files_are_gone_and_unlisted_after_the_commit(store: Store) -> None:
    draft = store.start("documents", "tiny", IDENTITY)
    add(draft, "00000", "hello")
    scratch = draft.scratch() / "x"
    scratch.write_text("scratch")
    draft.add_part("prepare", "00000", [draft.adopt(scratch, folder="prepared", stem="00000", suffix=".txt", role="work")])
    artifact = draft.commit(["prepare", "finish"])
    assert [f.role for f in artifact.manifest.files()] == ["rejects"]
    assert list((artifact.path / "prepared").iterdir()) == []
    assert audit(artifact) == []


@pytest.mark.parametrize("damage", ["flip", "delete", "grow", "edit part", "edit manifest", "edit plan", "stray"])
def test_audit_names_the_damaged_file(store: Store, damage: str) -> None:
    artifact = committed(store)
    data = artifact.path / artifact.manifest.files()[0].path
    target = data
    if damage == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "delete":
        data.unlink()
    elif damage == "grow":
        data.write_bytes(data.read_bytes() + b"!")
    elif damage == "stray":
        target = data.with_name("stray.arrow")
        target.write_text("x")
    else:
        name = {"edit part": "parts/finish/00000.json", "edit manifest": "manifest.json", "edit plan": "plan.json"}[damage]
        target = artifact.path / name
        before = target.read_text()
        after = before.replace('"records_read":1', '"records_read":2') if damage != "edit plan" else before.replace("5", "6", 1)
        assert before != after
        target.write_text(after)
    if damage == "edit manifest":
        with pytest.raises(Damaged, match=str(target)):
            Artifact.open(artifact.path)
        assert str(target) in store.damaged()[0]
        assert list(store.artifacts()) == []
    else:
        findings = audit(Artifact.open(artifact.path))
        assert len(findings) == 1
        assert findings[0].startswith(str(target))


def test_references(store: Store) -> None:
    first, second = committed(store), committed(store, "other")
    assert store.find("documents/tiny").version == second.version
    assert store.find(f"documents/tiny@{first.version}").version == first.version
    assert store.find(f"documents/tiny@{IDENTITY.fingerprint[:8]}").version == second.version
    for wrong in ("documents/none", "tiny", "pictures/tiny", "documents/../tiny", "documents/tiny@2019"):
        with pytest.raises(NotFound, match=wrong.split("@")[0].replace("..", r"\.\.")):
            store.find(wrong)


def test_an_object_store_is_refused() -> None:
    with pytest.raises(RequestError, match="s3"):
        Store("s3://bucket/store")
