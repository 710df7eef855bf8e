"""The model: a *canary* is a sentence with a secret that was made up, such as "The code number of Tavoki Rumesa is 4827 1930.", planted in
a corpus on purpose, in as many documents as there are to be *copies*. Because nobody else ever wrote it, whatever a model knows of it, it
knows by heart.

Its *exposure* (Carlini et al., arXiv:1802.08232) compares the canary with the same sentence with other secrets: log2 of their number,
minus log2 of its rank by likelihood. There are 10**8 secrets, so the rank is found twice:

    sampled    its exact rank among itself and `drawn` random secrets; it ends at log2(drawn + 1)
    estimated  from a skew-normal distribution, fitted by its moments to the nats of those: may be larger, and is a guess by its shape

What a model never saw has a rank that is uniform, and so a sampled exposure of 1.44 on average.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model.probes.reading import Reader, surprise
from schemas.errors import RequestError
from schemas.files import replace

Lang = Literal["en", "zh"]

SENTENCE = {"en": "The code number of {name} is {secret}.", "zh": "{name}的代码编号是{secret}。"}
DIGITS = 8
SPACE = 10**DIGITS
"""How many secrets there are."""
_SYLLABLES = "ba da fo gu ka ki la lo mi mu na no pe ra ri ru sa se ta to tu ve vo wi ya zo".split()
_HANZI = "阿诺维塔罗苏米卡雅贝洛图菲拉索莫奇达鲁纳"
_AROUND = {
    "en": (
        "The meeting in room {n} began late, so most of the agenda was moved to the following week.",
        "A train with {n} passengers stood outside the station until the signal changed.",
        "About {n} letters had been sorted before noon, and the rest was left for the evening.",
        "The garden behind the library was planted with {n} bulbs, which nobody had counted before.",
        "Whoever wants to borrow one of the {n} maps has to sign the list beside the door.",
        "On page {n} of the report somebody had drawn a small ship with a pencil.",
        "It rained for {n} minutes, and then the street smelled of dust and bread.",
        "The old clock was repaired {n} times, but it never kept pace with the new one.",
        "Some {n} boxes of paper were carried to the second floor, one after the other.",
        "They measured the bridge again and found it {n} millimetres shorter than in the plan.",
    ),
    "zh": (
        "第{n}号会议室的会开始得很晚，大部分议程都推到了下一周。",
        "载着{n}名乘客的火车停在站外，直到信号灯变了颜色。",
        "中午以前大约分拣了{n}封信，剩下的都留到了晚上。",
        "图书馆后面的花园里种了{n}株球茎，以前没有人数过。",
        "谁想借这{n}张地图中的一张，就要在门边的单子上签字。",
        "有人在报告的第{n}页用铅笔画了一只小船。",
        "雨下了{n}分钟，然后街上有了尘土和面包的气味。",
        "那只旧钟修过{n}次，可是一直赶不上新的那只。",
        "大约{n}箱纸被一箱一箱地搬到了二楼。",
        "他们重新量了那座桥，发现它比图纸上短了{n}毫米。",
    ),
}


@dataclass(frozen=True)
class Canary:
    """A sentence with a secret, and how many documents of the corpus have it."""

    lang: Lang
    name: str
    secret: str
    copies: int

    @property
    def text(self) -> str:
        return self.with_secret(self.secret)

    def unplanted(self) -> Canary:
        """The same in no document: what others are compared with."""
        return Canary(self.lang, self.name, self.secret, 0)

    def with_secret(self, secret: str) -> str:
        return SENTENCE[self.lang].format(name=self.name, secret=secret)


@dataclass(frozen=True)
class Exposure:
    """How well a model knows a canary. Exposures are in bits."""

    canary: Canary
    nats: float
    """That the model needs for the sentence."""
    rank: int
    """Among `drawn` and itself; 1 is the likeliest."""
    drawn: int
    sampled: float
    estimated: float


def canaries(seed: int, n: int, lang: Lang, copies: int) -> list[Canary]:
    """``n`` canaries of a language; equal arguments give equal ones, and other seeds others."""
    draw = random.Random(f"{seed}/{lang}")
    names: dict[str, None] = {}
    while len(names) < n:
        names[_name(draw, lang)] = None
    return [Canary(lang, name, _secret(draw), copies) for name in names]


def _name(draw: random.Random, lang: Lang) -> str:
    if lang == "zh":
        return "".join(draw.sample(_HANZI, 3)) + "·" + "".join(draw.sample(_HANZI, 3))
    return " ".join("".join(draw.choices(_SYLLABLES, k=3)).capitalize() for _ in range(2))


def _secret(draw: random.Random) -> str:
    number = f"{draw.randrange(SPACE):0{DIGITS}d}"
    return f"{number[:4]} {number[4:]}"


def documents(planted: Sequence[Canary], seed: int = 0) -> Iterator[dict[str, str]]:
    """The documents that carry the canaries, in a mixed order: the canary first, then sentences that are others in each copy, so that no
    search for duplicates takes one copy for another."""
    draw = random.Random(f"{seed}/documents")
    places = [canary for canary in planted for _ in range(canary.copies)]
    draw.shuffle(places)
    for canary in places:
        around = (sentence.format(n=draw.randrange(3, 10_000)) for sentence in draw.sample(_AROUND[canary.lang], 4))
        yield {
            "text": canary.text + (" " if canary.lang == "en" else "") + (" " if canary.lang == "en" else "").join(around),
            "lang": canary.lang,
        }


def plant(folder: Path, planted: Sequence[Canary], seed: int = 0) -> tuple[Path, Path]:
    """Write `source/canaries.jsonl`, a source for a recipe, and `planted.json`, by which exposure is measured. Raises `RequestError` if
    they are there."""
    source, told = folder / "source" / "canaries.jsonl", folder / "planted.json"
    for path in (source, told):
        if path.exists():
            raise RequestError(f"{path}: is there already, and a corpus may hold what it says: name another folder")
    source.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in documents(planted, seed))
    replace(source, "".join(lines).encode())
    replace(told, (json.dumps([asdict(canary) for canary in planted], ensure_ascii=False, indent=1) + "\n").encode())
    return source, told


def read_planted(folder: Path) -> list[Canary]:
    """The canaries of a folder that `plant` wrote. Raises `RequestError` naming what is wrong."""
    path = folder / "planted.json"
    try:
        rows: Any = json.loads(path.read_text(encoding="utf-8"))
        found = [Canary(**row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(f"{path}: does not list canaries: {error}") from error
    if wrong := [canary for canary in found if canary.lang not in SENTENCE]:
        raise RequestError(f"{path}: {wrong[0].name}: lang {wrong[0].lang!r} is none of {', '.join(SENTENCE)}")
    return found


def exposures(reader: Reader, planted: Sequence[Canary], drawn: int = 1000, seed: int = 0) -> list[Exposure]:
    """How well a causal model knows each. Raises `Mismatch` for an encoder, ValueError if ``drawn`` is too few to fit a distribution to."""
    if drawn < 10:
        raise ValueError(f"{drawn} secrets to compare with: want 10 at least")
    found = []
    for number, canary in enumerate(planted):
        draw = random.Random(f"{seed}/{number}/exposure")
        others: dict[str, None] = {}
        while len(others) < drawn:
            if (secret := _secret(draw)) != canary.secret:
                others[secret] = None
        read = [tuple(reader.ids(canary.with_secret(secret))) for secret in (canary.secret, *others)]
        alone = list(dict.fromkeys(read))  # sentences that a tokenizer can't tell apart are equally likely, to the last bit
        nats = {ids: float(one.sum()) for ids, one in zip(alone, surprise(reader.causal, alone), strict=True)}
        ours, *theirs = (nats[ids] for ids in read)
        rank = 1 + sum(other <= ours for other in theirs)  # who knows a secret finds it likelier than others, not as likely
        sampled = math.log2(drawn + 1) - math.log2(rank)
        found.append(Exposure(canary, ours, rank, drawn, sampled, estimated_exposure(ours, np.array(theirs))))
    return found


def estimated_exposure(ours: float, theirs: npt.NDArray[np.float64]) -> float:
    """-log2 of the share of all secrets that are as likely, by a skew-normal distribution fitted to the nats of some, float [n]; at most
    log2 of the number of secrets, which is a rank of 1."""
    deviation = float(theirs.std())
    if theirs.min() == theirs.max():
        return 0.0 if ours >= theirs[0] else math.log2(SPACE)
    skew = float(((theirs - theirs.mean()) ** 3).mean()) / deviation**3
    skew = max(-0.99, min(0.99, skew))  # no skew-normal is more skewed than 0.995
    part = abs(skew) ** (2 / 3)
    delta = math.copysign(math.sqrt(math.pi / 2 * part / (part + ((4 - math.pi) / 2) ** (2 / 3))), skew)
    scale = deviation / math.sqrt(1 - 2 * delta**2 / math.pi)
    location = float(theirs.mean()) - scale * delta * math.sqrt(2 / math.pi)
    below = _skew_normal_below((ours - location) / scale, delta / math.sqrt(1 - delta**2))
    return -math.log2(max(below, 1 / SPACE))


def _skew_normal_below(z: float, alpha: float) -> float:
    """The distribution function of a standard skew-normal (Azzalini 1985), by the trapezoidal rule; the density is 2 phi(x) Phi(alpha
    x)."""
    x = np.linspace(min(z, 0.0) - 12, z, 4001)
    tail = np.array([0.5 * math.erfc(-alpha * value / math.sqrt(2)) for value in x])
    return float(min(1.0, np.trapezoid(2 * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * tail, x)))
