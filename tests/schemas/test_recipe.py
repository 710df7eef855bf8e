"""A wrong recipe is refused with file, line, key and the nearest known key."""

from pathlib import Path

import pytest

from schemas.recipe_file import RecipeError, load_recipe

GOOD = """\
name: tiny
corpus:
  sources:
    - name: web
      path: raw/web.jsonl
      format: jsonl
  rules:
    en:
      min_words: 5
pretrain:
  model:
    layers: 2
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return [line.replace(str(path), "r.yaml") for line in str(caught.value).splitlines()]


def test_a_good_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD)
    recipe = load_recipe(path)
    assert recipe.corpus.rules["en"].min_words == 5
    assert recipe.pretrain is not None
    assert recipe.pretrain.model.layers == 2


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("min_words", "min_wrds", "r.yaml:9: corpus.rules.en.min_wrds: unknown key; did you mean 'min_words'?"),
        ("    layers", "    layer", "r.yaml:12: pretrain.model.layer: unknown key; did you mean 'layers'?"),
        ("format: jsonl", "formt: jsonl", "r.yaml:6: corpus.sources[0].formt: unknown key; did you mean 'format'?"),
        ("pretrain", "pretrian", "r.yaml:10: pretrian: unknown key; did you mean 'pretrain'?"),
        ("min_words: 5", "min_words: few", "r.yaml:9: corpus.rules.en.min_words: Input should be a valid integer"),
        ("layers: 2", "layers: 0", "r.yaml:12: pretrain.model.layers: Input should be greater than 0, not 0"),
        ("name: tiny", "name: ../tiny", "r.yaml:1: name: a name is letters"),
        ("      path: raw/web.jsonl\n", "", "r.yaml:4: corpus.sources[0].path: is required"),
        ("  rules:", "  annotate: {en: {engine: spacy}}\n  rules:", "r.yaml:7: corpus.annotate.en: the spacy engine needs a model"),
        ("name: tiny", "name: [tiny", "r.yaml:2: not valid YAML"),
        (
            "format: jsonl",
            "format: jsonl\n      lang: chinese",
            "r.yaml:7: corpus.sources[0].lang: not a language code of ISO 639 that is known here; did you mean 'zh' (Chinese)?",
        ),
        (
            "    en:",
            "    english:",
            "r.yaml:8: corpus.rules.english: not a language code of ISO 639 that is known here; did you mean 'en'",
        ),
        ("pretrain:\n  model:\n    layers: 2\n", "evaluate: {}\n", "r.yaml:10: evaluate: measures the model that pretrain makes"),
        (
            "pretrain:",
            "finetune:\n  epochs: 1\n  source: wbe\npretrain:",
            "r.yaml:12: finetune.source: 'wbe' is not a source of the corpus",
        ),
        ("pretrain:", "finetune: {source: web, max_tokens: 500}\npretrain:", "r.yaml:10: finetune.max_tokens: 500 is more than"),
        ("pretrain:", "pretrain:\n  batch: 7", "r.yaml:11: pretrain.batch: 7 does not divide over run.ranks, which is 2"),
        (
            "pretrain:",
            "pretrain:\n  accumulate: 3\n  batch: 8",
            "r.yaml:12: pretrain.batch: 4 samples of a rank do not divide into pretrain.accumulate, which is 3",
        ),
        ("pretrain:", "pretrain:\n  phases:\n  - step: 9\n    batch: 3", "r.yaml:13: pretrain.phases[0].batch: 3 does not divide"),
        (
            "  rules:",
            "    - {name: web, path: x, format: txt}\n  rules:",
            "r.yaml:7: corpus.sources[1].name: two sources have one name, 'web'",
        ),
        (
            "  rules:",
            "  sampling:\n    sources: {wbe: 2}\n  rules:",
            "r.yaml:8: corpus.sampling.sources.wbe: is not a source of the corpus",
        ),
    ],
)
def test_problems_are_located(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    assert any(line.startswith(problem) for line in problems(tmp_path, GOOD.replace(old, new))), problems(tmp_path, GOOD.replace(old, new))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("min_words", "min_wrds").replace("layers: 2", "layers: 0")
    assert len(problems(tmp_path, text)) == 2


def test_a_list_whose_only_item_is_wrong_is_not_called_too_short(tmp_path: Path) -> None:
    sets = "sets: [{name: q, path: q.jsonl, format: jsonl}]"
    (problem,) = problems(tmp_path, f"name: a\ncorpus:\n  sources: [{{name: a, path: a, format: txt}}]\n  decontaminate: {{{sets}}}\n")
    assert problem.startswith("r.yaml:4: corpus.decontaminate.sets[0]: fields say which keys hold the texts")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none.yaml: cannot be read: No such file"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        load_recipe(tmp_path / "bytes.yaml")
