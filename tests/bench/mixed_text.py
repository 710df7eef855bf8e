"""English and Chinese documents of about a kilobyte to six, half of the bytes each, as JSON lines in files of one language.

They are lines of pydoc's topics and of the demo's reviews, each with a word or a character swapped, so that nothing is an
exact duplicate; one document in twenty is the one before it with another end, so that something is a near one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

from flows.demo import reviews

NEAR = 0.05
FILES = 8
"""Files of each language: other tools share work out by files."""


def write_mixed(folder: Path, size: int) -> dict[str, Path]:
    """About `size` bytes below `folder`; returns the folder of each language."""
    draw = random.Random(1)
    prose = [text.split("\n") for text in topics.values()]
    words = sorted({word for lines in prose for line in lines for word in line.split() if word.isalpha()})
    opinions = [review["text"] for review in reviews()]
    characters = sorted({c for text in opinions for c in text if "\u4e00" <= c <= "\u9fff"})

    def english(length: int) -> str:
        lines, taken = draw.choice(prose), []
        at = draw.randrange(max(1, len(lines) - 5))
        while length > 0:
            line = lines[at % len(lines)].split(" ")
            line[draw.randrange(len(line))] = draw.choice(words)
            taken.append(" ".join(line))
            length -= len(taken[-1]) + 1
            at += draw.choice((1, 1, 1, 7))
        return "\n".join(taken)

    def chinese(length: int) -> str:
        taken = []
        while length > 0:
            text = list(draw.choice(opinions))
            text[draw.randrange(len(text))] = draw.choice(characters)
            taken.append("".join(text))
            length -= len(taken[-1].encode()) + 1
        return "\n".join(taken)

    makers: dict[str, tuple[Callable[[int], str], str]] = {"en": (english, "\nThe end."), "zh": (chinese, "\n完了。")}
    for language, (make, end) in makers.items():
        (folder / language).mkdir(parents=True)
        last = ""
        for number in range(FILES):
            with open(folder / language / f"{number}.jsonl", "w", encoding="utf-8") as file:
                while file.tell() < size // len(makers) // FILES:
                    last = last + end if last and draw.random() < NEAR else make(draw.randrange(200, 6000))
                    file.write(json.dumps({"text": last, "n": draw.random()}, ensure_ascii=False) + "\n")
    return {language: folder / language for language in makers}
