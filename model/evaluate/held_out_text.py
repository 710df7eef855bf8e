"""The model: a *passage* is a document of held-out text, whose tokens differ from model to model. Passages are of a documents artifact, or
of files: a `.jsonl` has one a line (`text`, and perhaps `lang`), any other file is one.

They are drawn by bytes, so that all models are asked the same ones. What baselines learn is the artifact's training subset.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from model.checkpoint import Mismatch, read_config
from model.evaluate.compressors import compressed_nats
from model.evaluate.drawing import draw
from model.evaluate.encoder_results import encoder_results
from model.evaluate.held_out import Text
from model.evaluate.language_modelling import Frame, kneser_ney, strongest_ngram
from model.evaluate.language_results import Nats, language_results
from model.evaluate.likelihood import opening
from model.evaluate.scoring import decoder_nats
from model.examples.opened import bare_name, open_files
from model.families import Causal
from model.fill import Filler
from model.generate import Writer
from model.hf.export import TOKENIZER
from model.metrics.writing import HAN
from schemas import recipe
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile
from schemas.recipe import HeldOutText
from schemas.results import MODEL, Result
from schemas.sampling import times_read

DOCUMENTS, BASELINE = "documents", "baseline"
"""Inputs of a step that reads passages."""
FILES = "text"
"""Root of those that are in files."""


@dataclass(frozen=True)
class Passage:
    """See the module."""

    doc_id: bytes
    source: str
    lang: str
    text: str

    @property
    def n_bytes(self) -> int:
        return len(self.text.encode())


def text_results(draft: Draft, settings: HeldOutText, subset: str, seed: int) -> list[Result]:
    """What the draft's model makes of held-out text, beside its baselines. Raises RequestError or Mismatch."""
    found = _passages(draft, settings, subset)
    passages = draw(found, settings.max_bytes, lambda passage: passage.n_bytes)
    if not passages:
        raise RequestError(
            f"--text: none of {len(found):,} texts of the {subset} subset fits {settings.max_bytes:,} bytes: raise --max-bytes"
        )
    folder, scratch = draft.input("model").path, draft.scratch()
    architecture = read_config(folder).architecture
    if isinstance(architecture, recipe.EncoderDecoder):
        raise RequestError(f"{folder}: an encoder-decoder gives no likelihood to text alone: ask it tasks")
    if isinstance(architecture, recipe.Encoder):
        filler = Filler(folder)
        return encoder_results(settings.name, filler, tokenized(passages, filler.tokenizer), _digest(folder), seed, scratch)
    writer = Writer(folder)
    texts = tokenized(passages, writer.tokenizer)
    progress = ProgressFile(scratch, sum(text.predicted for text in texts), "tokens")
    systems = {MODEL: Nats(_nats(writer, texts, progress), [text.predicted for text in texts])}
    if settings.documents:
        systems |= _ngrams(draft, settings, writer, texts)
    if draft.has_input(BASELINE):
        assert settings.baseline is not None
        other = Writer(draft.input(BASELINE).path)
        systems[f"model/{settings.baseline}"] = Nats(_nats(other, tokenized(passages, other.tokenizer), progress))
    systems |= _compressors(passages)
    return language_results(settings.name, passages, systems, _digest(folder), seed, scratch)


def tokenized(passages: Sequence[Passage], tokenizer: Tokenizer) -> list[Text]:
    """Passages as a model's tokenizer cuts them, without special tokens."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "<eos>" in a text is text, as in shards
    encodings = tokenizer.encode_batch([passage.text for passage in passages], add_special_tokens=False)
    return [Text(p.doc_id, p.source, p.lang, p.n_bytes, np.array(e.ids, np.int64)) for p, e in zip(passages, encodings, strict=True)]


def frame_of(writer: Writer) -> Frame:
    """The tokens around a text. Raises `Mismatch` if the model knows none."""
    if not writer.eos:
        raise Mismatch("the model's config.json has no eos_token_id, by which a text ends")
    return Frame(opening(writer), min(writer.eos), writer.model.vocab_size)


def _nats(writer: Writer, texts: Sequence[Text], progress: ProgressFile) -> Any:
    around, done = frame_of(writer), 0

    def advance(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress.tell(done, "held-out text")

    if not isinstance(writer.model, Causal):
        raise RequestError("--baseline: is no decoder: it gives no likelihood to text alone")
    progress.tell(0, "held-out text", force=True)
    return decoder_nats(writer.model, texts, around.bos, around.eos, advance)


def _ngrams(draft: Draft, settings: HeldOutText, writer: Writer, texts: Sequence[Text]) -> dict[str, Nats]:
    learned, judged = (tokenized(list(passages_of(draft.input(DOCUMENTS), subset)), writer.tokenizer) for subset in ("train", "validation"))
    if not learned:
        return {}
    around, tokens = frame_of(writer), [text.predicted for text in texts]
    return {
        kneser_ney(order): Nats(strongest_ngram(order, learned, judged, texts, around)[0], tokens) for order in settings.ngram_orders
    }  # fmt: skip


def _compressors(passages: Sequence[Passage]) -> dict[str, Nats]:
    found: dict[str, list[Any]] = {}
    for lang in dict.fromkeys(passage.lang for passage in passages):  # drawn by language, so these are runs of one each
        for name, nats in compressed_nats([passage.text for passage in passages if passage.lang == lang]).items():
            found.setdefault(name, []).append(nats)
    return {name: Nats(np.concatenate(parts)) for name, parts in found.items()}


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / TOKENIZER).read_bytes()).hexdigest()


def _passages(draft: Draft, settings: HeldOutText, subset: str) -> list[Passage]:
    return list(passages_of(draft.input(DOCUMENTS), subset)) if settings.documents else _unlike(list(_of_files(draft.task["roots"][FILES])))


def passages_of(documents: Artifact, subset: str) -> Iterator[Passage]:
    """Passages of a documents artifact that training reads, or would."""
    for shard in documents.paths("documents"):
        for batch in read_batches(shard, ("doc_id", "source", "lang", "subset", "weight", "text")):
            read = times_read(batch).astype(bool).tolist()
            for row, kept in zip(batch.to_pylist(), read, strict=True):
                if kept and row["subset"] == subset:
                    yield Passage(row["doc_id"], row["source"], row["lang"], row["text"])


def _of_files(path: str) -> Iterator[Passage]:
    for name, content in open_files(path, "--text"):
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RequestError(f"--text: {name}: is not UTF-8 at byte {error.start}: convert it") from error
        if not bare_name(name).endswith((".jsonl", ".ndjson")):
            yield _passage(text, None)
            continue
        for number, line in enumerate(text.split("\n"), 1):  # no other mark ends a line
            if line.strip():
                yield _passage(*_row(line, f"{name}, line {number}"))


def _row(line: str, where: str) -> tuple[str, str | None]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"--text: {where}: is not JSON: {error}") from error
    text, lang = (row.get(key) if isinstance(row, dict) else None for key in ("text", "lang"))
    if not isinstance(text, str) or not (lang is None or isinstance(lang, str)):
        raise RequestError(f"--text: {where}: has no text under the key 'text', or a 'lang' that is no text")
    if lang is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,35}", lang):
        raise RequestError(f"--text: {where}: 'lang' is {lang[:40]!r}, where the code of a language belongs, as zh or en-GB")
    if any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise RequestError(f"--text: {where}: 'text' has half of a character (a lone surrogate): mend it")
    return text, lang


def _passage(text: str, lang: str | None) -> Passage:
    """Without a language, text is Chinese if a tenth of its characters are Han, else `und`: nobody said."""
    told = lang or ("zh" if 10 * len(HAN.findall(text)) > len(text) else "und")
    return Passage(passage_id(text), "files", told, text)


def passage_id(text: str) -> bytes:
    """What a passage of files is known by: 16 bytes of a digest of its text."""
    return hashlib.sha256(text.encode()).digest()[:16]


def _unlike(passages: Sequence[Passage]) -> list[Passage]:
    """Each text once: items are kept by it."""
    return list({passage.doc_id: passage for passage in passages}.values())
