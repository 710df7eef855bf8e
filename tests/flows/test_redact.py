"""A planted secret is looked for in every byte that a run writes, says or shows."""

import json
import random
from pathlib import Path

import pytest

from schemas.arrow import read_shard
from tests.flows.conftest import command_in

RECIPE = """\
name: private
corpus:
  sources:
    - {name: mails, path: raw/mails.jsonl, format: jsonl, origin: text}
    - {name: code, path: raw/code, format: tree, lang: code, include: ["*.py"]}
  redact: {}
  rules:
    default: {min_chars: 20, max_duplicate_lines: 0.5}
  dedup: {conflict_field: label, near: {}}
  held_out: {validation: 0.1, test: 0.1, cut_shared_lines_over: 20}
  split_bytes: 4000
"""

SECRETS = {
    "email": "li.hua-4711@mail.example.com",
    "phone": "13912345678",
    "id_card": "11010519491231002X",
    "card": "4539988915720591",
    "ip": "58.74.121.78",
    "secret": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
}


def write(folder: Path) -> None:
    """200 mails, each with a value somewhere: in the text, beside it, in what is rejected for each reason; modules with a token."""
    draw = random.Random(3)
    values = list(SECRETS.values())
    lines = []
    for n in range(200):
        value = values[n % len(values)]
        text = f"Mail {n}: please write {draw.choice('abcdefgh') * 5} to {value}, {draw.random()} 联系：{value}。谢谢{n}"
        lines.append(json.dumps({"text": text, "label": f"{value}" if n % 3 else "x", "about": {value: [value]}}, ensure_ascii=n % 2 == 0))
    for value in values:
        lines.append(json.dumps({"text": value[:40]}))  # too short, once it is a placeholder
        lines.append(json.dumps({"text": f"{value}\n" * 30}))
        lines.append(f'{{"text": "cut off {value}')
        lines.append(json.dumps({"nothing": value}))
        lines += [json.dumps({"text": "One text with two labels, and so it goes.", "label": value}) for value in values]
    (folder / "code").mkdir(parents=True)
    (folder / "mails.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    with open(folder / "mails.jsonl", "ab") as file:
        file.write(b'{"text": "\xff\xfe ' + SECRETS["email"].encode() + b'"}\n')
    for n in range(12):
        (folder / "code" / f"m{n}.py").write_text(f'TOKEN = "{SECRETS["secret"]}"\nHOST = "{SECRETS["ip"]}"\nVALUE_{n} = {n}\n')


@pytest.mark.slow
def test_no_planted_value_is_in_anything_that_a_run_writes(tmp_path: Path) -> None:
    write(tmp_path / "raw")
    (tmp_path / "private.yaml").write_text(RECIPE)
    gristmill = command_in(tmp_path)
    said = [gristmill("run", "private.yaml", "--until", "documents", "--workers", "2")]
    said += [gristmill(*words, "documents/private") for words in (("show",), ("audit",), ("rejects", "--limit", "1000"))]
    for done in said:
        assert [value for value in SECRETS.values() if value in done.stdout + done.stderr] == []
    shown = said[1].stdout
    assert all(f"redacted {kind}" in shown for kind in SECRETS), shown
    assert "sound" in said[2].stdout

    written = [path for path in (tmp_path / ".gristmill").rglob("*") if path.is_file()]
    shards = [path for path in written if path.suffix == ".arrow"]
    assert {path.parent.name for path in shards} >= {"documents", "rejects"}
    for path in written:
        content = path.read_bytes()
        if path in shards:
            content += json.dumps(read_shard(path).to_pylist(), default=str, ensure_ascii=False).encode()
        assert [kind for kind, value in SECRETS.items() if value.encode() in content] == [], path
    rejects = [row for path in shards if path.parent.name == "rejects" for row in read_shard(path).to_pylist()]
    assert {row["reason"] for row in rejects} >= {"invalid_json", "missing_text", "label_conflict", "max_duplicate_lines", "undecodable"}
    assert all(row["text"] is not None for row in rejects)
    documents = [row for path in shards if path.parent.name == "documents" for row in read_shard(path).to_pylist()]
    assert sum(row["redacted"]["secret"] for row in documents) == sum(row["text"].count("<SECRET>") for row in documents) > 0
