"""Training from CoNLL-U files: a language that does not exist gets a tagger that works."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from pipelines.annotate.fast.tagger import Tagger
from pipelines.annotate.fast.weights import SEGMENTER, read_weights
from pipelines.annotate.training.train import Plan, train_language
from schemas.arrow import UPOS
from schemas.errors import RequestError

pytestmark = pytest.mark.slow

STEMS = "lam tor vek sil dun par mok rif zan bel".split()


def write_treebank(path: Path, sentences: int, seed: int) -> list[list[tuple[str, str]]]:
    """A language of nouns in -a, verbs in -is, adjectives in -os; `mi` is AUX before a verb and PRON elsewhere."""
    rng = random.Random(seed)
    found = []
    for _ in range(sentences):
        noun, verb, adjective = (rng.choice(STEMS) + rng.choice(STEMS) for _ in range(3))
        first = ("mi", "PRON") if rng.random() < 0.5 else (noun + "a", "NOUN")
        auxiliary = [("mi", "AUX")] if rng.random() < 0.5 else []
        found.append([first, *auxiliary, (verb + "is", "VERB"), (adjective + "os", "ADJ"), (noun + "a", "NOUN"), (".", "PUNCT")])
    lines = []
    for sentence in found:
        lines += [f"{i}\t{form}\t_\t{tag}\t_\t_\t_\t_\t_\t_" for i, (form, tag) in enumerate(sentence, 1)]
        lines.append("")
    path.write_text("\n".join(lines) + "\n")
    return found


def test_a_language_is_added_from_a_treebank(tmp_path: Path) -> None:
    write_treebank(tmp_path / "train.conllu", 400, 1)
    dev = write_treebank(tmp_path / "dev.conllu", 60, 2)
    plain = [" ".join(form for form, _ in sentence) for sentence in write_treebank(tmp_path / "more.conllu", 100, 3)]
    (tmp_path / "text.txt").write_text("\n".join(plain))
    log: list[str] = []
    plan = Plan("xx", (tmp_path / "train.conllu",), (tmp_path / "text.txt",), teachers=1, passes=30, dev=tmp_path / "dev.conllu")
    made = train_language(plan, tmp_path / "xx.safetensors", log.append)
    assert made["upos_accuracy"] > 0.97, log
    assert made["gold_words"] > 1500 and made["text_words"] > 400
    tagger = Tagger.load(tmp_path / "xx.safetensors")
    words = [form.encode() for sentence in dev for form, _ in sentence]
    sizes = np.array([len(word) for word in words], np.int64)
    starts = np.cumsum(sizes + 1) - sizes - 1
    found = tagger.tag(np.frombuffer(b" ".join(words), np.uint8), starts, starts + sizes, np.cumsum([len(s) for s in dev]))
    right = [UPOS[code] == tag for code, (_, tag) in zip(found, (word for sentence in dev for word in sentence), strict=True)]
    assert round(float(np.mean(right)), 6) == made["upos_accuracy"], "the file tags as the measured net did"


def test_chinese_gets_a_segmenter_too(tmp_path: Path) -> None:
    sentence = [("我们", "PRON"), ("喜欢", "VERB"), ("北京", "PROPN"), ("大学", "NOUN"), ("。", "PUNCT")]
    block = "\n".join(f"{i}\t{form}\t_\t{tag}\t_\t_\t_\t_\t_\t_" for i, (form, tag) in enumerate(sentence, 1)) + "\n\n"
    (tmp_path / "zh.conllu").write_text(block * 40)
    (tmp_path / "text.txt").write_text("我们喜欢北京。我们喜欢大学。\n")
    plan = Plan("zh", (tmp_path / "zh.conllu",), (tmp_path / "text.txt",), teachers=1, passes=40, dev=tmp_path / "zh.conllu")
    made = train_language(plan, tmp_path / "zh.safetensors", lambda line: None)
    assert made["word_f1"] > 0.9 and made["upos_accuracy"] > 0.9
    assert SEGMENTER in read_weights(tmp_path / "zh.safetensors").nets


def test_a_treebank_without_tags_is_named(tmp_path: Path) -> None:
    (tmp_path / "bare.conllu").write_text("1\tword\t_\t_\t_\t_\t_\t_\t_\t_\n\n")
    with pytest.raises(RequestError, match=r"bare\.conllu: holds no sentence with Universal POS tags"):
        train_language(Plan("xx", (tmp_path / "bare.conllu",)), tmp_path / "x.safetensors", lambda line: None)
