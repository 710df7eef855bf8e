"""Redaction in the documents step: what shards, rejects and ledgers hold, and what a recipe may ask for."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines import corpus
from pipelines.redact import redact_rejects
from pipelines.stages import PREPARED_REJECTS
from schemas.audit import audit
from schemas.draft import Draft
from schemas.fingerprint import canonical_json, read_json
from schemas.recipe import Corpus, Redact
from tests.pipelines.drafts import ledgers, make, rows, source

MAIL, PHONE = "zhang.san@example.com", "13800138000"


def write(folder: Path) -> dict[str, Path]:
    """JSON lines: two documents with values, a copy that differs in a value only, one without, and three rejects that hold one."""
    lines = [
        json.dumps({"text": f"Write to {MAIL}, or call {PHONE}. We answer.", "by": MAIL, "label": "a"}),
        json.dumps({"text": f"Write to {MAIL.upper()}, or call 139 0013 9000. We answer.", "label": "a"}),
        json.dumps({"text": f"联系电话：{PHONE[:5]}\x02{PHONE[5:]}，没有别的了。", "n": 1}),
        json.dumps({"text": "Nothing to see here, and nothing to hide."}),
        json.dumps({"text": f"{MAIL}"}),
        f'{{"text": "broken {MAIL}',
        json.dumps({"body": f"no text, but {MAIL}"}),
    ]
    path = folder / "in.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return {"s": path}


def recipe(**settings: Any) -> Corpus:
    given = {"sources": (source(format="jsonl", origin="text"),), "rules": {"default": {"min_chars": 12}}, "redact": {}, **settings}
    return Corpus.model_validate(given)


def test_texts_fields_and_rejects_hold_placeholders_and_the_ledger_counts_them(tmp_path: Path) -> None:
    draft = make(tmp_path / "draft", recipe(), write(tmp_path))
    documents, rejects = rows(draft, "documents"), rows(draft, "rejects")
    assert [row["text"] for row in documents] == [
        "Write to <EMAIL>, or call <PHONE>. We answer.",
        "联系电话：<PHONE>，没有别的了。",
        "Nothing to see here, and nothing to hide.",
    ]
    assert json.loads(documents[0]["extra"]) == {"by": "<EMAIL>", "label": "a"}
    assert [row["clean_is_identity"] for row in documents] == [False] * 3
    assert [(row["redacted"]["email"], row["redacted"]["phone"]) for row in documents] == [(1, 1), (0, 1), (0, 0)]
    assert {row["reason"]: row["text"] for row in rejects} == {
        "exact_duplicate": "Write to <EMAIL>, or call <PHONE>. We answer.",
        "min_chars": "<EMAIL>",
        "invalid_json": '{"text": "broken <EMAIL>',
        "missing_text": '{"body": "no text, but <EMAIL>"}',
    }
    ledger = ledgers(draft)["s"]
    assert ledger.redacted == {"email": 1, "phone": 2}
    assert ledger.cleaned == {"control": 1, "email": len(MAIL), "phone": 2 * len(PHONE)}


@pytest.mark.parametrize("redact", [None, {}])
def test_keep_raw_keeps_raw(tmp_path: Path, redact: dict[str, str] | None) -> None:
    draft = make(tmp_path / "draft", recipe(keep_raw=True, redact=redact), write(tmp_path))
    assert {row["text"] for row in rows(draft, "rejects") if row["reason"] == "min_chars"} == ({MAIL} if redact is not None else set())


def test_without_redaction_nothing_is_counted_and_rejects_hold_no_text(tmp_path: Path) -> None:
    draft = make(tmp_path / "draft", recipe(redact=None), write(tmp_path))
    assert {row["redacted"] for row in rows(draft, "documents")} == {None}
    assert {row["text"] for row in rows(draft, "rejects")} == {None}
    assert MAIL in rows(draft, "documents")[0]["text"] and ledgers(draft)["s"].redacted == {}
    assert "redacted" not in ledgers(draft)["s"].as_json()


def test_placeholders_are_chosen_and_kinds_turned_off(tmp_path: Path) -> None:
    settings = recipe(redact={"email": None, "phone": "【电话】"})
    found = rows(make(tmp_path / "draft", settings, write(tmp_path)), "documents")
    assert found[0]["text"] == f"Write to {MAIL}, or call 【电话】. We answer."
    assert corpus.identity_settings(settings) != corpus.identity_settings(recipe())
    assert corpus.engines(settings).keys() - corpus.engines(recipe(redact=None)).keys() == {"ahocorasick-rs"}


@pytest.mark.parametrize("placeholder", ["EMAIL", "<A1>", "<>", "<a@b>", "[x>", "", "(PHONE)"])
def test_placeholders_that_could_be_values_are_refused(placeholder: str) -> None:
    with pytest.raises(ValidationError, match="a placeholder is letters"):
        Redact(email=placeholder)


def rejects_of(detail: str, text: str | None) -> pa.RecordBatch:
    row = dict.fromkeys(PREPARED_REJECTS.names)
    fixed = {"seq": 0, "doc_id": b"0" * 16, "source": "s", "uri": "u", "record": 0, "record_bytes": 1, "stage": "x", "reason": "y"}
    return pa.RecordBatch.from_pylist([{**row, **fixed, "detail": detail, "text": text}], schema=PREPARED_REJECTS)


def test_details_quote_no_value() -> None:
    clean = partial(redact_rejects, settings=Redact(), keep_raw=False)
    assert clean(rejects_of(f"ValueError: {MAIL!r}", None)).column("detail").to_pylist() == ["ValueError: '<EMAIL>'"]
    cut = ("x " * 245 + MAIL)[:500]
    assert "@" in cut and "@" not in clean(rejects_of(cut, None)).column("detail")[0].as_py()


def test_rejects_that_cannot_be_redacted_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise KeyError(MAIL)

    monkeypatch.setattr("pipelines.redact.rejects.redact", fails)
    clean = redact_rejects(rejects_of(MAIL, MAIL), Redact(), keep_raw=False)
    assert clean.column("detail").to_pylist() == ["not shown: redaction failed (KeyError)"] and clean.column("text").to_pylist() == [None]


@pytest.mark.parametrize("more", [0, 1])
def test_an_audit_counts_the_values_again(tmp_path: Path, more: int) -> None:
    draft = make(tmp_path / "draft", recipe(), write(tmp_path))
    (part,) = draft.parts("finish")
    record = draft.path / part.record_path
    changed = read_json(record)
    changed["ledgers"]["s"]["redacted"]["email"] += more
    record.write_bytes(canonical_json(changed))
    found = audit(Draft.open(draft.path).commit(("prepare", "finish")))
    assert found == [f"{record}: source s: redacted email 2 values in the ledger, 1 in the shards"] * more
