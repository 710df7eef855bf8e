"""The model: jieba tags words in the manner of the People's Daily corpus (PKU); this *map* turns a word and its tag into
*pieces* with Universal POS codes, after the conventions of UD Chinese GSDSimp.

Of these rules the first that applies: punctuation and symbols by their characters; words of closed classes by the word
itself (`是` AUX, `也` SCONJ), whatever the tag; a numeral or demonstrative is split from the measure word behind it, as UD
does (`一个`: `一` NUM, `个` NOUN; `这个`: `这` DET, `个` NOUN); all else by tag. What `的` is depends on the word before.
"""

from __future__ import annotations

import re
import unicodedata

from schemas.arrow import UPOS_CODE

Pieces = tuple[tuple[int, int], ...]
"""(characters, code) of each piece: a UPOS code, or one of the two below."""

WHITE = 254
"""White space: not a word."""

AFTER_VERB = 255
"""SCONJ after a verb or adjective, else PART."""

_BY_TAG = {
    "a": "ADJ", "ad": "ADV", "ag": "ADJ", "an": "NOUN", "b": "ADJ", "c": "SCONJ", "d": "ADV", "df": "ADV", "dg": "ADV",
    "e": "INTJ", "eng": "X", "f": "ADP", "g": "NOUN", "h": "PART", "i": "ADJ", "j": "NOUN", "k": "PART", "l": "VERB",
    "m": "NUM", "mg": "NUM", "mq": "NOUN", "n": "NOUN", "ng": "NOUN", "nr": "PROPN", "nrfg": "PROPN", "nrt": "PROPN",
    "ns": "PROPN", "nt": "PROPN", "nz": "PROPN", "o": "ADV", "p": "ADP", "q": "NOUN", "r": "PRON", "rg": "PRON",
    "rr": "PRON", "rz": "DET", "s": "NOUN", "t": "NOUN", "tg": "NOUN", "u": "PART", "ud": "PART", "ug": "AUX",
    "uj": "PART", "ul": "AUX", "uv": "SCONJ", "uz": "AUX", "v": "VERB", "vd": "ADV", "vg": "VERB", "vi": "VERB",
    "vn": "NOUN", "vq": "VERB", "x": "X", "y": "PART", "z": "ADJ", "zg": "ADV",
}  # fmt: skip

_CLOSED = {
    "ADJ": "一些 一样 同样 相同 不同 真实 唯一 大多数 多数 少数 一定 相对 相关 大量 普通 独立 对外",
    "ADP": "时 起 直到 直至 透过 通过 将 把 由于 因为 虽然 虽 无论 不论 不管 尽管 有关 关于 左右 前 后 上 下 中 里 内 外 间 当 在 从 对 "
    "对于 根据 按照 向 往 自 与 同 随 经 经过 沿 距 以上 以下 以外 之间 之中 之下 之上 之前 之后 以前 以后 如果 不仅 不但",
    "ADV": "不 没 很 非常 最 更 较 太 仍 仍然 已 已经 曾 曾经 正 正在 再 另外 常 常常 经常 一直 只 仅 约 大约 早 连续 十分 先后 合共 "
    "重新 相当 特别 比较 几乎 未 共 互相 逐渐 刚 刚刚 大多 更加 真",
    "AUX": "是 为 被 可以 可能 可 会 能 要 想 需 能够 应 应该 应当 必须 需要 了 着 过 不会 不能 不可 而是 不是 就是",
    "CCONJ": "和 及 至 或 或者 以及 还是",
    "DET": "该 其他 其它 这些 那些 所有 任何 各 各种 每 每天 某 某些 本 全 全部 整个 另 此 哪 哪些",
    "NOUN": "年 月 日 岁 号 其中 同时 最后 最终 期间 前身 此外 此后 其后 目前 今 之际 一起 长期 不久 永远 中间 附近 周边 下方 沿海 "
    "东 南 西 北 东部 南部 西部 北部 东方 南方 西方 北方 南北 东西 东面 南面 西面 北面 大型 小型 高速 行为 "
    "自然 自由 成功 选择 控制 讨论 统治 改变 "
    "认识 防御 组合 象征 件 主任 警察 城市 哥哥 高山 山脉 湖泊 温泉 文明 通讯 二战 元 等 等等",
    "NUM": "一 二 两 三 四 五 六 七 八 九 十 百 千 万 亿 零 许多 很多 半 数",
    "PART": "之 地 得 们 吗 呢 吧 嘛 呀 啦 哦 啊 性 部 站 军 国 官 乡 镇 市 县 州 道 副 总 原",
    "PRON": "我 你 您 他 她 它 其 我们 你们 他们 她们 它们 咱们 自己 自身 谁 什么 怎么 这里 那里 这样 那样 哪里 大家 彼此",
    "SCONJ": "也 都 亦 还 就 则 却 才 便 来 先 又 且 故 即 甚至 因此 所以 若 假如 只要 不过 然而 于是 从而 而 但 但是 而且 并且 并",
    "VERB": "有 没有 无 由 于 只有 用 以 给 任 成 产生 研究 创作 设计 发动 经营 建设 重建 "
    "利用 突破 任命 融合 运用 替代 同意 毕业 去世 饰演 主演 参赛 前往 "
    "无法",
}  # fmt: skip

_CODE_BY_WORD = {word: UPOS_CODE[tag] for tag, words in _CLOSED.items() for word in words.split()} | {"的": AFTER_VERB}
_CODE_BY_TAG = {tag: UPOS_CODE[upos] for tag, upos in _BY_TAG.items()}

_NUMERALS = "0-9０-９.,，．%％零〇一二三四五六七八九十百千万亿兆两几数半多"
_NUMBER = re.compile(rf"第?[{_NUMERALS}]+(?:分之[{_NUMERALS}]+)?")
_MEASURED = re.compile(rf"(第?[{_NUMERALS}]+)([^\W\d_{_NUMERALS}]+)")
_DEMONSTRATED = re.compile(r"([这那哪每某各])([个种些次位条项件座名只本部家]|些个)")
_MEASURE_TAGS = frozenset({"m", "mq"})


def pieces_of(word: str, tag: str) -> Pieces:
    """The pieces of one word of jieba's; their characters add up to the word's."""
    code = _CODE_BY_WORD.get(word)
    if code is not None:
        return ((len(word), code),)
    if word.isspace():
        return ((len(word), WHITE),)
    if not any(map(str.isalnum, word)):
        return ((len(word), _mark(word)),)
    if tag in _MEASURE_TAGS:
        if _NUMBER.fullmatch(word):
            return ((len(word), UPOS_CODE["NUM"]),)
        if match := _MEASURED.fullmatch(word):
            return ((len(match[1]), UPOS_CODE["NUM"]), (len(match[2]), UPOS_CODE["NOUN"]))
        return ((len(word), UPOS_CODE["NOUN"]),)
    if tag == "r" and (match := _DEMONSTRATED.fullmatch(word)):
        return ((len(match[1]), UPOS_CODE["DET"]), (len(match[2]), UPOS_CODE["NOUN"]))
    return ((len(word), _CODE_BY_TAG.get(tag, UPOS_CODE["X"])),)


def _mark(word: str) -> int:
    """Code of a word without letters and digits."""
    return UPOS_CODE["PUNCT" if any(unicodedata.category(c)[0] == "P" for c in word) else "SYM"]
