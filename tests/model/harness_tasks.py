"""Two tasks of lm-evaluation-harness as files that need no download: one of choices, one that is written."""

from __future__ import annotations

import json
from pathlib import Path

_CHOICES = """task: tiny_choice
dataset_path: json
dataset_kwargs: {data_files: {train: FOLDER/choice.jsonl, test: FOLDER/choice.jsonl}}
output_type: multiple_choice
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Text: {{text}}\\nLabel:"
doc_to_target: label
doc_to_choice: ["bad", "quite good"]
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 2.0}
"""
_WRITTEN = """task: tiny_written
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/written.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{prompt}}"
doc_to_target: "{{target}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""


def write_tasks(folder: Path, targets: list[str]) -> Path:
    """A folder of both; `targets`: what is wanted of the prompts, in turns."""
    folder.mkdir()
    texts = ["The list", "def main", "好的 café", "of the", "class A", "中国", "in text", "and a test"]
    choice = [{"text": text, "label": number % 2} for number, text in enumerate(texts)]
    written = [{"prompt": text, "target": targets[number % len(targets)]} for number, text in enumerate(texts)]
    for name, rows in (("choice", choice), ("written", written)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    for name, content in (("choice", _CHOICES), ("written", _WRITTEN)):
        (folder / f"{name}.yaml").write_text(content.replace("FOLDER", str(folder)))
    return folder
