"""What a sweep of a store keeps and removes, and why."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flows.gc import Rules, examine, remove
from flows.gc.examine import Findings
from flows.gc.lines import seconds
from flows.gc.removal import _Kept, _remove_version
from flows.lineage import made_from
from schemas.artifact import Artifact
from schemas.audit import audit
from schemas.errors import RequestError
from schemas.files import create
from schemas.fingerprint import canonical_json
from schemas.lease import Lease
from schemas.store import Store
from tests.flows.stores import DAY, NOW, age, age_artifact, make, old, relative, silent, start

RULES = Rules(keep=2, grace=7 * DAY)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def why(findings: Findings) -> dict[str, str]:
    """Reason by path of what stays."""
    return {row["path"]: row["why"] for row in findings.rows() if row["stays"]}


def going(findings: Findings) -> set[str]:
    return {row["path"] for row in findings.rows() if not row["stays"]}


def test_superseded_versions_go_and_the_newest_stay(store: Store) -> None:
    made = old(store, 4)
    findings = examine(store, RULES, NOW)
    assert going(findings) == {relative(store, a) for a in made[:2]}
    assert findings.bytes == sum(p.stat().st_size for a in made[:2] for p in a.path.rglob("*") if p.is_file())
    assert remove(store, RULES, findings) == []
    assert [a.path for a in store.artifacts()] == [a.path for a in made[2:]]
    assert [finding for a in store.artifacts() for finding in audit(a)] == []
    assert list((store.root / ".trash").iterdir()) == []


@pytest.mark.parametrize(
    ("recent", "reason"), [("use", "a run made or used it 2 days ago"), ("newer", "was one of the newest 2 until 2 days ago")]
)
def test_what_was_in_use_within_the_grace_stays(store: Store, recent: str, reason: str) -> None:
    made = old(store, 3)
    target = made[0] if recent == "use" else made[2]
    folder = store.lease_folder("documents", "d", target.manifest.fingerprint)
    age(folder if recent == "use" else target.path, 2, NOW)
    assert why(examine(store, RULES, NOW))[relative(store, made[0])] == reason
    assert going(examine(store, Rules(2, DAY), NOW)) == {relative(store, made[0])}


def test_inputs_stay_as_long_as_what_was_made_from_them(store: Store) -> None:
    documents = old(store, 4)
    tokens = make(store, "tokens", "d", 0, {"documents": documents[0].manifest.content_digest})
    draft = start(store, "tokens", "other", 0, {"documents": documents[1].manifest.content_digest})
    age_artifact(store, tokens, 30, NOW)
    findings = examine(store, RULES, NOW)
    assert going(findings) == set()
    assert why(findings)[relative(store, documents[0])] == f"{tokens.reference} was made from it"
    assert "is being made from it" in why(findings)[relative(store, documents[1])]
    age(draft.path, 8, NOW)
    age(store.lease_folder("tokens", "other", draft.plan["fingerprint"]), 8, NOW)
    assert going(examine(store, RULES, NOW)) == {draft.path.relative_to(store.root).as_posix(), relative(store, documents[1])}


def test_the_very_paths_that_a_draft_reads_stay(store: Store) -> None:
    """Of two artifacts of one content, lineage means the newer; the attempt reads the older."""
    first, second = (make(store, "documents", "d", n, content="same") for n in range(2))
    newest = make(store, "documents", "d", 3)
    draft = start(store, "tokens", "d", 0, {"documents": first.manifest.content_digest})
    draft.assign(inputs={"documents": first.path.resolve()}, roots={}, run={})
    for artifact in (first, second, newest):
        age_artifact(store, artifact, 30, NOW)
    assert going(examine(store, Rules(1, 7 * DAY), NOW)) == set()
    (draft.path / "task.json").unlink()
    assert going(examine(store, Rules(1, 7 * DAY), NOW)) == {relative(store, first)}


def test_a_draft_at_work_stays_however_old_it_is(store: Store) -> None:
    draft = start(store, "tokens", "d", 0)
    folder = store.lease_folder("tokens", "d", draft.plan["fingerprint"])
    with Lease(folder, silent):
        age(draft.path, 30, NOW)
        age(folder, 30, NOW)
        assert "a run works on it" in why(examine(store, RULES, NOW))[draft.path.relative_to(store.root).as_posix()]
    age(folder, 30, NOW)
    findings = examine(store, RULES, NOW)
    assert [row["why"] for row in findings.rows()] == ["unfinished, and nobody has worked on it for 30 days"]
    with Lease(folder, silent):  # somebody came after it was found
        assert remove(store, RULES, findings) == []
    assert draft.path.is_dir()


@pytest.mark.parametrize("event", ["lease held", "used", "new draft"])
def test_a_run_that_comes_between_finding_and_removing_wins(store: Store, event: str) -> None:
    made = old(store, 3)
    (verdict,) = examine(store, RULES, NOW).going
    known = {a.path for a in made}
    folder = store.lease_folder("documents", "d", made[0].manifest.fingerprint)
    with pytest.raises(_Kept, match={"lease held": "works on it now", "used": "just now", "new draft": "begun to use it"}[event]):
        if event == "lease held":
            with Lease(folder, silent):
                age(folder, 30, NOW)
                _remove_version(store, verdict.thing, known)
        elif event == "used":
            with Lease(folder, silent):
                pass
            _remove_version(store, verdict.thing, known)
        else:
            start(store, "tokens", "d", 0, {"documents": made[0].manifest.content_digest})
            _remove_version(store, verdict.thing, known)
    assert audit(made[0]) == []


def test_only_one_sweep_at_a_time(store: Store) -> None:
    old(store, 3)
    with Lease(store.root / ".leases" / "gc", silent), pytest.raises(RequestError, match="another sweep"):
        remove(store, RULES, examine(store, RULES, NOW))


def test_links_are_never_followed(store: Store, tmp_path: Path) -> None:
    made = old(store, 4)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(made[0].path, elsewhere)
    made[0].path.symlink_to(elsewhere)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (made[1].path / "link").symlink_to(precious)
    age(made[1].path, 30, NOW)
    findings = examine(store, RULES, NOW)
    assert going(findings) == {relative(store, made[1])}
    assert "symbolic link" in why(findings)[relative(store, made[0])]
    remove(store, RULES, findings)
    assert (precious / "file").is_file() and audit(Artifact.open(elsewhere)) == []


def test_a_folder_that_became_a_link_after_it_was_found_stays(store: Store, tmp_path: Path) -> None:
    made = old(store, 3)
    findings = examine(store, RULES, NOW)
    shutil.move(made[0].path, tmp_path / "moved")
    made[0].path.symlink_to(tmp_path / "moved")
    remove(store, RULES, findings)
    assert (tmp_path / "moved" / "manifest.json").is_file()


def test_what_is_damaged_or_not_ours_stays(store: Store) -> None:
    made = old(store, 4)
    backup = made[0].path.with_name("0-backup")
    shutil.copytree(made[0].path, backup)
    manifest = made[1].path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format":1', '"format":7'))
    age(store.root / "documents", 30, NOW)
    stays = why(examine(store, RULES, NOW))
    assert "somebody else" in stays["documents/d/0-backup"]
    assert "manifest format 7" in stays[relative(store, made[1])]


def test_inputs_of_a_damaged_artifact_stay(store: Store) -> None:
    documents = old(store, 3)
    tokens = make(store, "tokens", "d", 0, {"documents": documents[0].manifest.content_digest})
    (tokens.path / "manifest.json").write_text("{}")
    age(store.root, 30, NOW)
    assert going(examine(store, RULES, NOW)) == set()


def test_leftovers_go_after_the_grace(store: Store, tmp_path: Path) -> None:
    (artifact,) = old(store, 1)
    lost = start(store, "tokens", "gone", 0)
    shutil.rmtree(lost.path)
    stub = artifact.path.with_name("20200101T000000000000Z-0123abcd")
    stub.mkdir()
    (artifact.path / "work").mkdir()
    (artifact.path / "work" / "scratch.bin").write_bytes(b"12345")
    torn = [folder / f".manifest.json.{'0f' * 16}" for folder in (artifact.path, store.root / ".leases" / "documents" / "d")]
    for path in torn:
        path.write_text("torn")
    gone, there = tmp_path / "in" / "gone.txt", tmp_path / "in" / "there.txt"
    there.parent.mkdir()
    there.write_text("x")
    notes = {str(path): [1, 2, "digest"] for path in (gone, there, Path("/no/such/disk/file.txt"))}
    (store.root / ".cache").mkdir()
    create(store.root / ".cache" / "inputs.json", canonical_json(notes))
    (store.root / ".trash").mkdir()
    (store.root / ".trash" / "half").mkdir()
    always = {".cache/inputs.json", ".trash/half"}
    age(store.root, 6, NOW)
    assert going(examine(store, RULES, NOW)) == always
    age(store.root, 8, NOW)
    findings = examine(store, RULES, NOW)
    lease = store.lease_folder("tokens", "gone", lost.plan["fingerprint"])
    expected = always | {p.relative_to(store.root).as_posix() for p in (*torn, stub, artifact.path / "work", lease)}
    assert going(findings) == expected
    assert remove(store, RULES, findings) == []
    assert json.loads((store.root / ".cache" / "inputs.json").read_bytes()).keys() == notes.keys() - {str(gone)}
    assert not any((store.root / path).exists() for path in expected - {".cache/inputs.json"})
    assert audit(artifact) == [] and going(examine(store, RULES, NOW)) == set()
    with Lease(lease, silent) as again:  # the folder is made anew
        again.check()


def test_a_chain_stays_as_a_whole(store: Store) -> None:
    documents, superseded = old(store, 2)[0], make(store, "documents", "d", 9)
    tokens = make(store, "tokens", "d", 0, {"documents": documents.manifest.content_digest})
    newer = make(store, "tokens", "d", 1)
    model = make(store, "model", "d", 0, {"tokens": tokens.manifest.content_digest})
    for artifact in (superseded, tokens, newer, model):
        age_artifact(store, artifact, 30, NOW)
    stays = why(examine(store, Rules(1, DAY), NOW))
    assert stays[relative(store, documents)] == f"{tokens.reference} was made from it"
    assert stays[relative(store, tokens)] == f"{model.reference} was made from it"


def inputs_of(store: Store, artifact: Artifact) -> dict[str, Path]:
    """Where each input of an artifact is; what these were made from is checked when it is their turn."""
    return {role: found.path for role in artifact.manifest.identity.inputs if (found := made_from(store, artifact, role))}


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, str, str, list[int], float]]:
    """Artifacts in order of making: kind, name, content, which earlier ones it was made from, days since it was used."""
    made: list[tuple[str, str, str, list[int], float]] = []
    for n in range(draw(st.integers(4, 12))):
        kind = draw(st.sampled_from(["documents", "tokens", "tokens", "model"]))
        inputs = draw(st.lists(st.integers(0, n - 1), max_size=2, unique=True)) if n else []
        content = draw(st.sampled_from([f"own {n}", f"own {n}" if inputs else "same"]))  # nothing is made from its own content
        made.append((kind, draw(st.sampled_from("aaab")), content, inputs, draw(st.sampled_from([1.0, 30.0, 30.0, 30.0]))))
    # What is made later is not older: when a version left the newest is told by when later ones were committed.
    days = sorted((days for *_, days in made), reverse=True)
    return [(*one[:4], age) for one, age in zip(made, days, strict=True)]


@pytest.mark.slow
@settings(max_examples=50, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking graphs takes minutes
@given(graphs(), st.integers(1, 3))
def test_no_lineage_of_what_stays_ever_loses_anything(graph: list[Any], keep: int) -> None:
    rules = Rules(keep, 7 * DAY)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        made: list[Artifact] = []
        for n, (kind, name, content, inputs, _) in enumerate(graph):
            digests = {f"role{k}": made[i].manifest.content_digest for k, i in enumerate(inputs)}
            made.append(make(store, kind, name, n, digests, content))
        for artifact, (*_, days) in zip(made, graph, strict=True):
            age_artifact(store, artifact, days, NOW)
        before = {a.path: inputs_of(store, a) for a in made}
        findings = examine(store, rules, NOW)
        assert remove(store, rules, findings) == []
        left = list(store.artifacts())
        for artifact in left:
            assert inputs_of(store, artifact) == before[artifact.path]
        for artifact, (kind, name, *_, days) in zip(made, graph, strict=True):
            newest = [a.path for a in made if (a.kind, a.name) == (kind, name)][-keep:]
            if artifact.path in newest or days < 7:
                assert artifact.path.is_dir()
        assert going(examine(store, rules, NOW)) == set()


@pytest.mark.parametrize(("text", "expected"), [("7d", 7 * DAY), ("12h", DAY / 2), ("0.5d", DAY / 2), ("0h", 0)])
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["7", "d", "-1d", "7 d", "1w", "٧d"])
def test_no_times(text: str) -> None:
    with pytest.raises(RequestError, match="days or hours"):
        seconds(text)
