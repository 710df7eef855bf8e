"""Any tokenizer.json can be imported: it is used as it is, its special tokens are found or declared, errors name what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

from pipelines import tokenizer
from pipelines.tokenizer import imported
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Tokenizer
from tests.pipelines.documents import documents_artifact

WORDS = "the river castle".split()


def word_level() -> Library:
    made = Library(models.WordLevel({"[UNK]": 0, **{word: n + 1 for n, word in enumerate(WORDS)}}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def gpt2_like() -> Library:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Library(models.BPE({token: n for n, token in enumerate([*alphabet, "th"])}, [("t", "h")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    return made


def llama_like() -> Library:
    """BPE over characters with byte fallback behind a normalizer, as converted from SentencePiece."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "t", "h", "e", "th"]
    made = Library(models.BPE({t: n for n, t in enumerate(tokens)}, [("t", "h")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return made


def bert_like() -> Library:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s"]
    made = Library(models.WordPiece({t: n for n, t in enumerate(tokens)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(tokens[:5])
    return made


def unigram() -> Library:
    made = Library(models.Unigram([("<unk>", 0.0), ("▁the", -1.0), ("▁", -3.0), ("r", -4.0)], unk_id=0, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(["<pad>", "</s>", AddedToken("<extra_id_0>", special=True)])
    return made


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    texts = ["the river and the castle", "the rivers 河"]
    return documents_artifact(tmp_path_factory.mktemp("store") / "documents", [[[(text, "en", "train") for text in texts]]])


def import_file(folder: Path, documents: Artifact, path: Path, **options: Any) -> Artifact:
    settings = Tokenizer(path=str(path), **options)
    inputs = {"documents": documents.manifest.content_digest, tokenizer.IMPORTED: tokenizer.file_digest(str(path))}
    draft = Draft.start(folder, "tokenizer", "test", Identity("tokenizer", 1, tokenizer.identity_settings(settings), inputs, {}))
    draft.assign(inputs={"documents": documents.path}, roots={tokenizer.IMPORTED: str(path)}, run={"workers": 1})
    tokenizer.run(draft)
    return draft.commit([tokenizer.STAGE])


def saved(folder: Path, made: Library) -> Path:
    path = folder / "downloaded.json"
    made.save(str(path))
    return path


@pytest.mark.parametrize(
    ("make", "roles", "options"),
    [
        (word_level, {"unk": 0, "eos": 1, "bos": 1, "pad": 1}, {"special_tokens": {"eos": "the"}}),
        (gpt2_like, {"eos": 257, "bos": 257, "pad": 257}, {}),
        (llama_like, {"unk": 0, "bos": 1, "eos": 2, "pad": 2}, {}),
        (llama_like, {"unk": 0, "bos": 1, "eos": 2, "pad": 0}, {"special_tokens": {"pad": "<unk>"}}),
        (llama_like, {"unk": 0, "bos": 2, "eos": 1, "pad": 0}, {"special_tokens": ["</s>", "<s>", "<unk>"]}),
        (bert_like, {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4, "bos": 2, "eos": 3}, {}),
        (unigram, {"unk": 0, "pad": 4, "eos": 5, "bos": 5}, {}),
    ],
)
def test_any_kind_is_used_as_it_is_with_roles_found_or_declared(
    tmp_path: Path, documents: Artifact, make: Callable[[], Library], roles: dict[str, int], options: dict[str, Any]
) -> None:
    theirs = make()
    artifact = import_file(tmp_path / "t", documents, saved(tmp_path, theirs), **options)
    facts = artifact.facts(tokenizer.STAGE)
    assert facts["special_tokens"] == roles
    assert facts["vocab_size"] == theirs.get_vocab_size()
    ours = Library.from_file(str(artifact.path / "tokenizer.json"))
    assert ours.to_str() == theirs.to_str()
    assert facts["coverage"]["en"] == 1.0 or make is not gpt2_like


def test_limits_of_length_in_the_file_are_dropped(tmp_path: Path, documents: Artifact) -> None:
    theirs = gpt2_like()
    theirs.enable_truncation(3)
    theirs.enable_padding(length=9)
    artifact = import_file(tmp_path / "t", documents, saved(tmp_path, theirs))
    assert len(Library.from_file(str(artifact.path / "tokenizer.json")).encode("0123456").ids) == 7


def test_what_the_file_calls_special_and_has_no_role_stays_special(tmp_path: Path, documents: Artifact) -> None:
    artifact = import_file(tmp_path / "t", documents, saved(tmp_path, unigram()))
    config = json.loads((artifact.path / "tokenizer_config.json").read_text())
    assert config["extra_special_tokens"] == ["<extra_id_0>"]
    assert (config["pad_token"], config["eos_token"], config["unk_token"]) == ("<pad>", "</s>", "<unk>")
    assert "bos_token" not in config, "a lent role is not the tokenizer's own"


def test_errors_name_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(RequestError, match="tokenizer.path .*broken.json: not a tokenizer.json"):
        imported.load(broken)
    with pytest.raises(RequestError, match="tokenizer.path .*none.json: there is no such file"):
        imported.load(tmp_path / "none.json")
    with pytest.raises(RequestError, match="tokenizer.path .*none.json: cannot be read: No such file"):
        tokenizer.file_digest(str(tmp_path / "none.json"))
    with pytest.raises(RequestError, match="has an empty vocabulary"):
        imported.load(saved(tmp_path, Library(models.BPE())))
    with pytest.raises(RequestError, match="2 tokens have ids up to 5; id 1 has no token of its own"):
        imported.load(saved(tmp_path, Library(models.WordLevel({"a": 0, "b": 5}, unk_token="a"))))
    with pytest.raises(RequestError, match="tokenizer.special_tokens.eos: 'END' is not in the vocabulary"):
        imported.roles(gpt2_like(), {"eos": "END"})


def test_a_tokenizer_without_an_end_needs_one_declared(tmp_path: Path, documents: Artifact) -> None:
    with pytest.raises(RequestError, match="no special token that serves as eos; name one: tokenizer.special_tokens.eos"):
        import_file(tmp_path / "t", documents, saved(tmp_path, word_level()))


def test_a_file_that_was_changed_after_the_plan_is_refused(tmp_path: Path, documents: Artifact) -> None:
    path = saved(tmp_path, gpt2_like())
    settings = tokenizer.identity_settings(Tokenizer(path=str(path)))
    identity = Identity("tokenizer", 1, settings, {"documents": documents.manifest.content_digest, tokenizer.IMPORTED: "0" * 32}, {})
    draft = Draft.start(tmp_path / "t", "tokenizer", "test", identity)
    draft.assign(inputs={"documents": documents.path}, roots={tokenizer.IMPORTED: str(path)}, run={"workers": 1})
    with pytest.raises(RequestError, match="was changed since the run was planned"):
        tokenizer.run(draft)


def test_where_the_file_lies_does_not_count(tmp_path: Path) -> None:
    assert tokenizer.identity_settings(Tokenizer(path="a.json")) == tokenizer.identity_settings(Tokenizer(path="b/c.json"))


def test_tokens_that_nothing_can_give_are_reported(tmp_path: Path, documents: Artifact) -> None:
    theirs = Library(
        models.BPE({"a": 0, "b": 1, "c": 2, "bc": 3, "abc": 4, "ab": 5, "a b": 6, "</s>": 7}, [("b", "c"), ("a", "b"), ("ab", "c")])
    )
    theirs.pre_tokenizer = pre_tokenizers.Split(Regex(" "), "isolated")
    theirs.add_special_tokens(["</s>"])
    artifact = import_file(tmp_path / "t", documents, saved(tmp_path, theirs))
    report = json.loads((artifact.path / "report.json").read_text())
    assert report["never_seen"]["tokens"] == 5  # the sample has letters a and c
    assert [token["text"] for token in report["unreachable"]["examples"]] == ["abc", "a b"]
