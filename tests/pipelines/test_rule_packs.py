"""Packs judge each language by its own measure: Chinese, unspaced and with full-width punctuation, passes where it is good, and fails
each rule for what that rule is about."""

import numpy as np
import pytest

from pipelines.rules import judge, measure
from pipelines.rules.judge import checks
from schemas.recipe import Rules
from schemas.recipe.rule_packs import PACKS, PackName, thresholds_of
from schemas.recipe.rules import THRESHOLDS, settled

GOOD = """\
昨天下午，我和几个朋友去了城外的一座老茶馆。茶馆在河边，门口有两棵很高的银杏树，叶子已经黄了一半。
老板姓王，今年七十多岁，说话很慢，但记性非常好。他问我们：“你们是从哪里来的？喝什么茶？”我们说，随便来一壶就行。
他笑了笑，转身走进里屋，过了一会儿，端出来一壶刚泡好的龙井……茶的颜色很淡，香味却久久不散。
坐在窗边，可以看见河上的小船慢慢地划过去；船上的人戴着草帽，嘴里哼着听不清楚的曲子。天快黑的时候，我们才想起该回家了！
"""
"""Simplified, unspaced, full-width marks, an ellipsis and quotes."""

PHRASE = "本店专业办理各种业务欢迎来电咨询，"
BAD = {
    "min_words": "很好。",
    "max_words": "我们都去了。" * 40_000,
    "min_mean_word_length": "，。！",
    "max_mean_word_length": "查看网址abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "max_digits": "电话１３８００１３８０００１２３４５６",
    "max_symbols": "★★★★☆☆☆☆￥￥￥很好",
    "min_lines_end_punctuation": "首页\n新闻\n体育\n财经\n娱乐\n科技\n汽车\n房产\n教育\n旅游",
    "max_new_lines": "首页\n新闻\n体育\n财经\n娱乐\n科技",
    "max_duplicate_lines": "点击查看更多。\n" * 9,
    "max_top_2gram": "便宜促销，" * 9,
    "min_lang_score": "好",
    "max_duplicate_line_chars": "点击查看更多内容。\n" * 9,
    "max_duplicate_paragraphs": "点击查看更多内容。\n\n" * 9,
    "max_duplicate_paragraph_chars": "点击查看更多内容。\n\n" * 9,
    "max_top_3gram": "便宜促销，" * 9,
    "max_top_4gram": "便宜促销，" * 9,
    **{f"max_duplicate_{n}gram": PHRASE * 9 for n in range(5, 11)},
    "max_bullet_lines": "·首页\n·新闻\n·体育\n・财经\n●娱乐",
    "max_ellipsis_lines": "这个故事告诉我们……\n后来他终于明白了…\n原来如此。。。",
    "max_ellipses": "啊……哦……嗯……唉……",
    "max_hashes": "#话题#今天#天气#很好#",
    "min_alphabetic_words": "１、２、３、４、５：６；７。８！好",
    "min_stop_words": "枯藤老树昏鸦，小桥流水人家。",
    "min_sentences": "没有句号的一行字",
    "max_other_script": "这是标题\n"
    "This half of the page is written in English, which was put there first.\n后面一半是中文，长度和上面差不多。",
}  # fmt: skip
LIMITS = {key: limit for pack in PACKS for key, limit in thresholds_of(pack, "zh").items()}


def failed(text: str, lang: str, rules: Rules, score: float = 1.0) -> dict[str, bool]:
    return {check.reason: bool(check.failed[0]) for check in checks(measure([text], [lang]), np.array([score], np.float32), rules)}


def test_each_rule_that_judges_chinese_has_its_case() -> None:
    assert LIMITS.keys() == BAD.keys()


@pytest.mark.parametrize("key", sorted(LIMITS))
def test_good_chinese_passes_each_rule_and_bad_fails_it(key: str) -> None:
    for pack in PACKS:
        if (limit := thresholds_of(pack, "zh").get(key)) is not None:
            rules = Rules.model_validate({key: limit})
            assert failed(GOOD, "zh", rules, score=0.9) == {key: False}, pack
            assert failed(BAD[key], "zh", rules, score=0.5) == {key: True}, pack


@pytest.mark.parametrize("pack", sorted(PACKS))
def test_good_chinese_passes_whole_packs(pack: PackName) -> None:
    for rules in ({"zh": Rules(packs=(pack,))}, {"default": Rules(packs=(pack,))}):
        assert judge(measure([GOOD], ["zh"]), ["zh"], [0.9], settled(rules, {})) == [None]


ENGLISH = """\
The old tea house stood by the river, and two tall trees grew at its door, with leaves that had half turned yellow.
Its owner was more than seventy years old; he spoke slowly, but he could remember everything that anybody had said to him.
"Where do you come from, and what would you have to drink?" he asked. We said that anything would be fine with us.
He smiled, went to the room behind, and came back with a pot of tea that smelled of spring long after it had been emptied.
"""


@pytest.mark.parametrize("pack", [pack for pack in sorted(PACKS) if pack != "fineweb2"])
def test_good_english_passes_whole_packs(pack: PackName) -> None:
    assert judge(measure([ENGLISH], ["en"]), ["en"], [0.9], settled({"default": Rules(packs=(pack,))}, {})) == [None]


@pytest.mark.parametrize(
    ("pack", "reason", "text"),
    [
        ("gopher_quality", "min_stop_words", "Cheap shoes online now buy shoes cheap " * 10),
        ("gopher_quality", "max_bullet_lines", "\n".join(f"• having {word} with the" for word in ENGLISH.split() if len(word) > 2)),
        ("gopher_repetition", "max_duplicate_lines", ENGLISH + "Read more about it here\n" * 9),
        ("c4", "max_curly_brackets", ENGLISH + "function() { return; }\n"),
        ("c4", "max_lorem_ipsum", ENGLISH + "Lorem Ipsum dolor sit amet.\n"),
        ("c4", "max_boilerplate_lines", "Please enable JavaScript.\nThis site uses cookies.\nRead our privacy policy. Thank you.\n"),
        ("c4", "min_sentences", "one line without an end"),
        ("fineweb", "max_short_lines", ENGLISH + "".join(f"Line {n}.\n" for n in range(9))),
        ("standard", "max_duplicate_5gram", ENGLISH.replace("\n", " ") * 2),
    ],
)
def test_what_packs_are_there_for_goes(pack: PackName, reason: str, text: str) -> None:
    (verdict,) = judge(measure([text], ["en"]), ["en"], [1.0], settled({"en": Rules(packs=(pack,))}, {}))
    assert verdict is not None and verdict[0] == reason


def test_english_rules_never_judge_chinese() -> None:
    text = GOOD + "在网页里写JavaScript的时候，大括号{}要成对。“lorem ipsum”是排版用的占位文字。\n"
    for pack in PACKS:
        assert judge(measure([text], ["zh"]), ["zh"], [0.9], settled({"default": Rules(packs=(pack,))}, {})) == [None], pack


def test_a_language_without_listed_stop_words_fails_no_rule_about_them() -> None:
    assert judge(measure(["Das ist gut."], ["de"]), ["de"], [1.0], {"de": Rules(min_stop_words=2)}) == [None]


def test_japanese_has_words_though_it_has_no_spaces() -> None:
    text = "昨日の午後、友だちと川のそばの古い茶屋へ行きました。入口には高い木が二本あって、葉はもう半分黄色でした。" * 2
    assert judge(measure([text], ["ja"]), ["ja"], [1.0], {"ja": Rules(min_words=50)}) == [None]


def test_packs_say_only_what_rules_know() -> None:
    for pack in PACKS.values():
        for thresholds in pack.values():
            assert thresholds.keys() <= set(THRESHOLDS)
            Rules.model_validate(thresholds)
