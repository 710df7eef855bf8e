"""The model: the *report* on a tokenizer says how well it fits texts of each language and source, and which of its tokens are odd.

    fertility      tokens a word, words being what the documents step found
    coverage       share of the characters that are not inside an unknown token
    never seen     tokens that encoding the whole sample never gave: nothing will train their embeddings (the "glitch tokens"
                   of Land and Bartolo 2024, arXiv:2405.05417)
    unreachable    those of them that their own text doesn't give either, alone or behind other characters, because it is
                   rewritten, cut or merged in another way

All is counted in integers over a sample, and ratios are rounded: equal samples give equal reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.tokenizer.families import ids_of
from pipelines.tokenizer.sample import Group, Sample
from pipelines.tokenizer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_PIECE_CHARS = 1 << 16
"""Longer texts are measured in pieces of so many characters: memory of the library is some 50 times that."""

_BATCH_CHARS = 1 << 20
_EXAMPLES = 20


@dataclass
class Counts:
    """What was counted in some texts."""

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    unknown_characters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def as_json(self) -> dict[str, Any]:
        """The counts and their ratios, null where there is nothing to divide by."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "bytes_per_token": _ratio(self.bytes, self.tokens),
            "fertility": _ratio(self.tokens, self.words),
            "unknown": _ratio(self.unknown_tokens, self.tokens),
            "coverage": _ratio(self.characters - self.unknown_characters, self.characters),
        }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


class Measure:
    """Encodes samples and counts; text that reads like a special token is text."""

    def __init__(self, tokenizer: Tokenizer, unk: str | None) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.encode_special_tokens = True
        self._unk = None if unk is None else self._tokenizer.token_to_id(unk)
        self._used = np.zeros(self._tokenizer.get_vocab_size(), np.int64)

    @property
    def used(self) -> npt.NDArray[np.int64]:
        """How often each token was used in all that was counted, shape (ids,)."""
        return self._used

    def count(self, sample: Sample, tell: Callable[[int], None]) -> dict[Group, Counts]:
        """Counts by group; `tell` hears how many bytes are done."""
        groups, batch, waiting = {group: Counts() for group in sample.groups}, list[tuple[Group, str]](), 0
        for text in sample:
            groups[text.group] += Counts(documents=1, words=text.words)
            for start in range(0, len(text.text), _PIECE_CHARS):
                batch.append((text.group, text.text[start : start + _PIECE_CHARS]))
                waiting += len(batch[-1][1])
                if waiting >= _BATCH_CHARS:
                    self._add(groups, batch)
                    batch, waiting = [], 0
                    tell(sum(counts.bytes for counts in groups.values()))
        self._add(groups, batch)
        return groups

    def _add(self, groups: dict[Group, Counts], batch: list[tuple[Group, str]]) -> None:
        encodings = self._tokenizer.encode_batch_fast([piece for _, piece in batch], add_special_tokens=False)
        ids = [np.array(encoding.ids, np.int64) for encoding in encodings]
        if ids:
            self._used += np.bincount(np.concatenate(ids), minlength=self._used.size)
        for (group, piece), found in zip(batch, ids, strict=True):
            unknown = int((found == self._unk).sum()) if self._unk is not None else 0
            characters = self._unknown_characters(piece) if unknown else 0
            groups[group] += Counts(0, len(piece.encode()), len(piece), 0, found.size, unknown, characters)

    def _unknown_characters(self, piece: str) -> int:
        encoding: Encoding = self._tokenizer.encode(piece, add_special_tokens=False)
        return sum(end - start for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True) if number == self._unk)


def write(tokenizer: Tokenizer, roles: Mapping[str, str], train: Sample, validation: Sample, tell: Callable[[int], None]) -> dict[str, Any]:
    """The report, as JSON. `roles` are the special tokens by role; tokens count as seen if `train` has them."""
    measure = Measure(tokenizer, roles.get("unk"))
    texts = {"train": _tables(measure.count(train, tell))}
    used = measure.used.copy()
    texts["validation"] = _tables(measure.count(validation, lambda done: None))
    vocabulary = Vocabulary(tokenizer)
    unseen = [number for number in vocabulary.learned if not used[number]]
    unreachable = vocabulary.unreachable(unseen)
    return {
        "vocabulary": {
            "model": vocabulary.kind,
            "byte_level": vocabulary.byte_level,
            "tokens": len(vocabulary.tokens),
            "learned": len(vocabulary.learned),
            "bytes": len(vocabulary.bytes),
        },
        "special_tokens": [
            {"role": role, "token": roles[role], "id": number}
            for role, number in sorted(ids_of(tokenizer, roles).items(), key=lambda item: item[1])
        ],
        "texts": texts,
        "longest": {
            script: [_shown(vocabulary, number, used) for number in vocabulary.longest(script == "han", _EXAMPLES)]
            for script in ("han", "other")
        },
        "never_seen": {
            "tokens": len(unseen),
            "share": _ratio(len(unseen), len(vocabulary.learned)),
            "examples": [_shown(vocabulary, number, used) for number in unseen[:_EXAMPLES]],
        },
        "unreachable": {
            "tokens": len(unreachable),
            "examples": [_shown(vocabulary, number, used) for number in unreachable[:_EXAMPLES]],
        },
    }


def _shown(vocabulary: Vocabulary, number: int, used: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {"id": number, "text": vocabulary.text(number), "seen": int(used[number])}


def _tables(groups: Mapping[Group, Counts]) -> dict[str, Any]:
    """Counts of all, by language, and by source in each language."""
    languages: dict[str, Any] = {}
    for lang in sorted({lang for lang, _ in groups}):
        sources = {source: counts for (of, source), counts in sorted(groups.items()) if of == lang}
        languages[lang] = {**_all(sources.values()), "sources": {source: counts.as_json() for source, counts in sources.items()}}
    return {"all": _all(groups.values()), "languages": languages}


def _all(counts: Iterable[Counts]) -> dict[str, Any]:
    return sum(counts, Counts()).as_json()
