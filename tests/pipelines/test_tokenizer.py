"""Training samples by id, gives the same bytes each time, and a pinned tokenizer is handed on as it is."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import tokenizer
from pipelines.encode import Encoder, new_tokenizer, train
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
    assert all(1.5 < rate < 12 for rate in facts["bytes_per_token"].values())
    assert not any("SECRET" in token for token in vocabulary), "held-out text was trained on"


def test_the_same_bytes_whatever_the_shards_threads_and_hash_seeds(tmp_path: Path, documents: Artifact) -> None:
    first, facts = trained(tmp_path / "a", documents)
    for threads in ("1", "3"):
        draft = step_draft(tmp_path / threads, "tokenizer", settings_of(), {"documents": documents})
        draft.assign(inputs={"documents": documents.path}, roots={}, run={"workers": int(threads)})
        environment = {**os.environ, "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-m", "pipelines.tokenizer", str(draft.path)], cwd=ROOT, env=environment, check=True)
        artifact = draft.commit([tokenizer.STAGE])
        assert (artifact.path / "tokenizer.json").read_bytes() == first
        assert artifact.facts(tokenizer.STAGE) == facts


def test_the_sample_does_not_depend_on_how_documents_lie_in_shards(tmp_path: Path, documents: Artifact) -> None:
    tables = [corpus()[:100], corpus()[100:150], corpus()[150:]]
    split = documents_artifact(tmp_path / "documents", [[table] for table in reversed(tables)])
    assert trained(tmp_path / "a", documents, sample_bytes=4000)[0] == trained(tmp_path / "b", split, sample_bytes=4000)[0]


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
    with pytest.raises(RequestError, match="no training text in language 'fr'"):
        tokenizer.draw(documents.paths("documents"), 1000, {"fr": 1.0, "en": 1.0})


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


def test_a_tokenizer_that_is_not_byte_level_is_refused(tmp_path: Path) -> None:
    from tokenizers import normalizers

    lossy = new_tokenizer()
    lossy.normalizer = normalizers.NFKC()
    lossy.save(str(tmp_path / "lossy.json"))
    with pytest.raises(RequestError, match="lossy.json: not a byte-level tokenizer"):
        Encoder(tmp_path / "lossy.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(RequestError, match="broken.json: not a tokenizer.json"):
        Encoder(tmp_path / "broken.json")


def test_engines_name_the_library() -> None:
    assert tokenizer.engines(Tokenizer()).keys() == {"tokenizers"}
