"""Training samples by id, gives the same bytes each time, and a pinned tokenizer is handed on as it is."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import tokenizer
from pipelines.encode import Encoder, train
from pipelines.encode.patterns import PATTERNS
from pipelines.tokenizer.sample import Sample
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Tokenizer
from tests.pipelines.documents import Document, documents_artifact, step_draft

ROOT = Path(__file__).parents[2]
SPECIAL = ["<|bos|>", "<|eos|>", "<|pad|>"]


def corpus(seed: int = 0, count: int = 300) -> list[Document]:
    draw = random.Random(seed)
    english = "the of a market river castle teacher repairs watches window garden winter".split()
    chinese = "我们 酒店 房间 服务 非常 不错 满意 早餐 味道 下次 还会 再来".split()
    made: list[Document] = []
    for number in range(count):
        subset = "test" if number % 10 == 0 else "train"
        if number % 3:
            made.append((" ".join(draw.choices(english, k=20)) + f" {number}.\n", "en", subset))
        else:
            made.append(("".join(draw.choices(chinese, k=12)) + "。", "zh", subset))
    made.append(("SECRET" * 50, "en", "validation"))
    return made


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    made = corpus()
    return documents_artifact(tmp_path_factory.mktemp("store") / "documents", [[made[:100], made[100:150]], [], [made[150:]]])


def settings_of(**values: object) -> dict[str, object]:
    return Tokenizer.model_validate({"vocab_size": 600, **values}).model_dump(mode="json")


def trained(folder: Path, documents: Artifact, **values: object) -> tuple[bytes, dict[str, object]]:
    draft = step_draft(folder, "tokenizer", settings_of(**values), {"documents": documents})
    tokenizer.run(draft)
    artifact = draft.commit([tokenizer.STAGE])
    return (artifact.path / "tokenizer.json").read_bytes(), dict(artifact.facts(tokenizer.STAGE))


def test_facts_describe_the_tokenizer(tmp_path: Path, documents: Artifact) -> None:
    content, facts = trained(tmp_path / "t", documents)
    vocabulary = json.loads(content)["model"]["vocab"]
    assert facts["vocab_size"] == len(vocabulary) <= 600
    assert facts["special_tokens"] == {"bos": 0, "eos": 1, "pad": 2}
    assert facts["sample"]["bytes"].keys() == {"en", "zh"}
    assert facts["sample"]["groups"] == {
        lang: {"s": {"documents": count, "bytes": facts["sample"]["bytes"][lang]}} for lang, count in (("en", 180), ("zh", 90))
    }
    assert all(1.5 < rate < 12 for rate in facts["bytes_per_token"].values())
    assert not any("SECRET" in token for token in vocabulary), "held-out text was trained on"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece", "unigram"])
def test_the_same_bytes_whatever_the_threads_and_hash_seeds(tmp_path: Path, documents: Artifact, kind: str) -> None:
    first, facts = trained(tmp_path / "a", documents, kind=kind)
    for threads in ("1", "3"):
        draft = step_draft(tmp_path / threads, "tokenizer", settings_of(kind=kind), {"documents": documents})
        draft.assign(inputs={"documents": documents.path}, roots={}, run={"workers": int(threads)})
        environment = {**os.environ, "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-m", "pipelines.tokenizer", str(draft.path)], cwd=ROOT, env=environment, check=True)
        artifact = draft.commit([tokenizer.STAGE])
        assert (artifact.path / "tokenizer.json").read_bytes() == first
        assert artifact.facts(tokenizer.STAGE) == facts


@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece", "unigram"])
def test_nothing_depends_on_how_documents_lie_in_shards(tmp_path: Path, documents: Artifact, kind: str) -> None:
    tables = [corpus()[:100], corpus()[100:150], corpus()[150:]]
    split = documents_artifact(tmp_path / "documents", [[table] for table in reversed(tables)])
    made = [trained(tmp_path / name, where, kind=kind, sample_bytes=4000) for name, where in (("a", documents), ("b", split))]
    assert made[0] == made[1]
    assert (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()


def test_a_sample_is_of_training_text_and_shared_by_weights(documents: Artifact) -> None:
    paths = documents.paths("documents")
    sample = tokenizer.draw(paths, 6000, {"zh": 3, "en": 1})
    assert 4500 <= sample.bytes["zh"] < 4600
    assert 1500 <= sample.bytes["en"] < 1700
    assert tokenizer.draw(paths, 3000, {}).documents < tokenizer.draw(paths, 30_000, {}).documents
    everything = tokenizer.draw(paths, 1 << 40, {})
    assert everything.documents == sum(subset == "train" for _, _, subset in corpus())


def test_a_larger_sample_holds_the_smaller_one(documents: Artifact) -> None:
    paths = documents.paths("documents")
    small, large = (tokenizer.draw(paths, size, {"en": 1}).rows for size in (2000, 8000))
    assert all(set(a.tolist()) <= set(b.tolist()) for a, b in zip(small, large, strict=True))


def test_a_weighted_language_without_text_is_an_error(documents: Artifact) -> None:
    with pytest.raises(RequestError, match="tokenizer.weights: no training text in language 'fr'; there is text of en, zh"):
        tokenizer.draw(documents.paths("documents"), 1000, {"fr": 1.0, "en": 1.0})
    with pytest.raises(RequestError, match="tokenizer.source_weights: no training text in source 't'; there is text of s"):
        tokenizer.draw(documents.paths("documents"), 1000, {}, {"t": 1.0})


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Document shards of two languages and three sources; `poems` are Chinese only."""
    draw = random.Random(3)
    made: list[Document] = []
    for number in range(400):
        source = draw.choice(["web", "books", "poems"])
        lang = "zh" if source == "poems" else draw.choice(["zh", "en"])
        made.append((f"{'好' * 33 if lang == 'zh' else 'x' * 99}{number % 10}", lang, "train", source))
    return documents_artifact(tmp_path_factory.mktemp("store") / "documents", [[made[:150]], [made[150:]]]).paths("documents")


def bytes_of(sample: Sample) -> dict[tuple[str, str], int]:
    return {group: size for group, (_, size) in sample.groups.items()}


def test_sources_have_their_weights_within_each_language(sources: list[Path]) -> None:
    taken = bytes_of(tokenizer.draw(sources, 8000, {"zh": 3, "en": 1}, {"web": 1, "books": 2}))
    assert taken == {("zh", "web"): 2000, ("zh", "books"): 4000, ("en", "web"): 700, ("en", "books"): 1400}


def test_sources_alone_have_their_weights(sources: list[Path]) -> None:
    taken = bytes_of(tokenizer.draw(sources, 6000, {}, {"poems": 1, "books": 2}))
    assert taken["zh", "poems"] == 2000
    assert taken["zh", "books"] + taken["en", "books"] == 4000
    assert {source for _, source in taken} == {"poems", "books"}


def test_a_language_that_no_weighted_source_speaks_is_an_error(sources: list[Path]) -> None:
    with pytest.raises(RequestError, match="none of these sources has text in language 'en'"):
        tokenizer.draw(sources, 1000, {"en": 1, "zh": 1}, {"poems": 1})


def test_a_sample_is_of_the_subset_that_is_asked_for(documents: Artifact) -> None:
    sample = tokenizer.draw(documents.paths("documents"), 1 << 40, subset="validation")
    assert [(text.group, text.text) for text in sample] == [(("en", "s"), "SECRET" * 50)]
    assert sample.groups == {("en", "s"): (1, 300)}


def test_a_pinned_tokenizer_is_handed_on_with_equal_content(tmp_path: Path, documents: Artifact) -> None:
    draft = step_draft(tmp_path / "first", "tokenizer", settings_of(), {"documents": documents})
    tokenizer.run(draft)
    first = draft.commit([tokenizer.STAGE])
    pinned = step_draft(tmp_path / "second", "tokenizer", settings_of(pin="test@first"), {"tokenizer": first})
    tokenizer.run(pinned)
    assert pinned.commit([tokenizer.STAGE]).manifest.content_digest == first.manifest.content_digest


def test_a_finished_draft_is_left_as_it_is(tmp_path: Path, documents: Artifact) -> None:
    draft = step_draft(tmp_path / "t", "tokenizer", settings_of(), {"documents": documents})
    tokenizer.run(draft)
    before = (draft.path / "tokenizer.json").stat().st_mtime_ns
    tokenizer.run(draft)
    assert (draft.path / "tokenizer.json").stat().st_mtime_ns == before


def test_digits_go_in_threes_and_every_byte_has_a_token(tmp_path: Path) -> None:
    made = train(["12345678 12345678 12345678 中文 中文"], 400, SPECIAL)
    assert [made.decode([i]) for i in made.encode("1234567").ids] == ["123", "456", "7"]
    path = tmp_path / "tokenizer.json"
    path.write_text(made.to_str(), encoding="utf-8")
    text = bytes(range(256)).decode("latin-1") + "".join(map(chr, range(0x4E00, 0x4F00))) + "😀"
    ids, _ = Encoder(path).encode([text])
    assert made.decode(ids.tolist()) == text


def test_one_long_word_does_not_stall_training() -> None:
    made = train(["好" * 200_000, "不错" * 100_000], 500, SPECIAL)
    assert made.get_vocab_size() > 259


def test_pieces_that_reach_over_lines_are_learned_from_long_texts() -> None:
    text = "".join(f"    if x:\n        y = {n}\n" for n in range(500))
    made = train([text], 400, SPECIAL, PATTERNS["indent", "threes"].regex)
    assert ":\n        " in {made.decode([number]) for number in range(made.get_vocab_size())}


def test_engines_name_the_library() -> None:
    assert tokenizer.engines(Tokenizer()).keys() == {"tokenizers"}
    assert tokenizer.engines(Tokenizer(kind="unigram")).keys() == {"tokenizers", "numpy"}
