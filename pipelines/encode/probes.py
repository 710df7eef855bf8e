"""The model: the *probe texts* are what an engine and the reference must encode alike before anything else: what tokenizers are
known to differ on, all pairs of ASCII characters, all scripts, and random strings of both.

Made by a fixed seed: the same texts everywhere.
"""

from __future__ import annotations

import random
import unicodedata
from functools import cache

_STRESS = (
    "",
    " ",
    "It's we're I'LL they'd 'S 'Re ’s 's's ''s 'ſ I'ſx 'tis",
    "  two  spaces   three\t\ttabs \t mixed \u00a0\u2003\u3000 wide\u200b\u200d\ufeff none",
    "\n\n\r\n\r \n a\n  b\r\n\r\nc \n",
    "1 12 123 1234 12345678901234567890 3.14159e-10 0xFF ١٢٣٤ ⅷ ½ ²³ 一二三",
    "def f(x: int) -> dict[str, list]:\n    return {'a': [x ** 2, ~x, x << 3]}  # noqa\n\tif __name__ == \"__main__\":",
    "<|bos|><|eos|>[CLS] <s></s> <unk> [MASK]",
    "https://example.org/a_b?c=d&e=%20#f user@host.net C:\\path\\x ~/.rc",
    "他说：“今天天气不错！”我们去公园吧……《红楼梦》第3回（上）价格￥100。",
    "繁體中文與简体中文，〇々〆ヶ 𠀀𠮷𪚥 龥龦鿿",
    "日本語のテキスト、カタカナ。한국어 텍스트입니다. ภาษาไทยไม่มีช่องว่าง हिन्दी العربية עברית ქართული",
    "😀👍🏽👨‍👩‍👧‍👦🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ ☺︎ ✓ → ∑∫√ ≠ €£¥",
    "e\u0301 é n\u0303 a\u0308\u0323\u0301 z\u0335\u0336\u0337 ﬁ ﬂ ǆ ß ẞ İı ſ K Å Ω",
    "\x00\x01\x1b[31m\x7f\x80\x9f\u2028\u2029\ufffd\ufffe\U0010ffff\ue000",
    "aB aBC ABc HTTPServer iPhone15Pro x86_64 snake_case-kebab",
)
_ALPHABETS = (
    "ab'sS .,\n\r\t12#é中好，\u3000",
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "eitsanr dlo ing tion. The'",
    "=-*#_/\\()[]{}<>\"'`|&%$@!?;: \n\t",
)


@cache
def probe_texts() -> list[str]:
    """The texts, about 1,000 of together 60 KB."""
    draw = random.Random(20_000)
    texts = list(_STRESS)
    texts += [first + first.join(chr(second) for second in range(1, 128)) for first in map(chr, range(1, 128))]
    texts += [unit * count for unit in ("a", "s", "中", "好的", "é", "=", " ", "\n", "1", "-=", "，", "😀") for count in (2, 257, 520)]
    texts += ["'" + "s" * 300, "x'" + "re" * 200, "。" + "中" * 300 + "a" * 300, "\r中\r" + "好" * 30 + "\r\n的"]
    by_category: dict[str, list[str]] = {}
    for code in (*range(0x80, 0x3100), *range(0x3100, 0x20000, 16)):
        by_category.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    by_category.pop("Cs")
    texts += ["".join(x + draw.choice(("", "a", " ", "1", ".")) for x in draw.choices(some, k=6)) for some in by_category.values()]
    texts += ["".join(draw.choices(alphabet, k=draw.randrange(1, 60))) for alphabet in _ALPHABETS for _ in range(200)]
    return texts
