"""Each metric equals its reference library on random input, empty texts, foreign scripts and Chinese among it; sums decide values."""

import random
import string
import warnings
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from model.metrics import Metric, measure, metric_named, value_named
from model.metrics.bootstrap import wilson
from model.metrics.rouge import subsequence, tokens
from model.metrics.spans import conlleval
from schemas.recipe.task import METRICS

LABELS = ("neg", "neutral", "pos", "unheard of")
WORDS = [
    *"the a fox dog runs Berlin U.S. 3.5 can't “quoted” e-mail éclair".split(),
    ",",
    ".",
    "中国",
    "的",
    "北京大学",
    "カメラ",
    "，",
    "。",
    "《",
    "GPU-2",
]
sentences = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
texts = st.one_of(sentences, st.text(alphabet=st.sampled_from("ab the的中国，。1 -"), max_size=20))
pairs_of_texts = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)
labelled = st.lists(st.tuples(st.sampled_from(LABELS[:3]), st.sampled_from(LABELS[:3])), min_size=1, max_size=20)


def value(metric: Metric, answers: list, wanted: list) -> float:
    """Of all items, by the metric's own function and by the one that its name gives."""
    sums = metric.of(answers, wanted).sum(0)
    assert metric.value(sums) == value_named(metric.name)(sums)
    return float(metric.value(sums))


@given(labelled)
@settings(max_examples=60, deadline=None)
def test_labels_are_judged_as_by_scikit_learn(items: list[tuple[str, str]]) -> None:
    answers, wanted = map(list, zip(*items, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": accuracy_score(wanted, answers),
            "macro_f1": f1_score(wanted, answers, average="macro"),
            "mcc": matthews_corrcoef(wanted, answers),
        }
    for name, figure in expected.items():
        assert value(metric_named(name, "classification", labels=LABELS), answers, wanted) == pytest.approx(figure, abs=1e-6)


def test_an_answer_that_is_no_label_counts_against_macro_f1_once() -> None:
    wanted, answers = ["pos", "neg", "pos"], ["pos", "neg", "I think it is good"]
    metric = metric_named("macro_f1", "classification", labels=LABELS)
    assert value(metric, answers, wanted) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert value(metric_named("mcc", "classification", labels=LABELS), answers, wanted) == pytest.approx(
        matthews_corrcoef(wanted, [*answers[:2], "other"])
    )


RELATIONS = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Member-Collection(e1,e2)", "Member-Collection(e2,e1)", "Other"]
related = st.lists(st.tuples(st.sampled_from(RELATIONS), st.sampled_from(RELATIONS)), min_size=1, max_size=30)


@given(related)
def test_relations_are_judged_as_by_the_scorer_of_semeval(items: list[tuple[str, str]]) -> None:
    """That scorer counts a relation found in the wrong direction as answered and as wanted, and not as right."""
    answers, wanted = map(list, zip(*items, strict=True))
    scores = []
    for relation in ("Cause-Effect", "Member-Collection"):
        right = sum(a == w != "Other" and w.startswith(relation) for a, w in items)
        answered, true = (sum(label.startswith(relation) for label in labels) for labels in (answers, wanted))
        precision, recall = right / answered if answered else 0.0, right / true if true else 0.0
        if answered or true:
            scores.append(2 * precision * recall / (precision + recall) if right else 0.0)
    expected = sum(scores) / len(scores) if scores else 0.0
    assert value(metric_named("relation_f1", "relation", labels=RELATIONS), answers, wanted) == pytest.approx(expected, abs=1e-12)


TAGS = ["O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER", "E-PER"]
tagged = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=12), min_size=1, max_size=5)
iob2 = st.lists(st.lists(st.tuples(st.sampled_from(TAGS[:7]), st.sampled_from(TAGS[:7])), min_size=1, max_size=12), min_size=1, max_size=5)


@given(tagged)
@settings(max_examples=60, deadline=None)
def test_spans_are_counted_as_by_seqeval(items: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import accuracy_score as tag_accuracy
    from seqeval.metrics import f1_score as entity_f1

    answers, wanted = ([[pair[side] for pair in item] for item in items] for side in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert value(metric_named("entity_f1", "tagging"), answers, wanted) == pytest.approx(entity_f1(wanted, answers), abs=1e-6)
    assert value(metric_named("accuracy", "tagging"), answers, wanted) == pytest.approx(tag_accuracy(wanted, answers), abs=1e-6)


@given(iob2)
@settings(max_examples=60, deadline=None)
def test_strict_spans_are_those_of_seqeval_s_strict_mode(items: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import f1_score as entity_f1
    from seqeval.scheme import IOB2

    answers, wanted = ([[pair[side] for pair in item] for item in items] for side in (0, 1))
    metric = metric_named("entity_f1", "tagging", scheme="iob2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if any(tag != "O" for item in (*answers, *wanted) for tag in item):  # seqeval fails without any span
            strict = entity_f1(wanted, answers, mode="strict", scheme=IOB2)
            assert value(metric, answers, wanted) == pytest.approx(strict, abs=1e-6)
    assert "scheme:iob2" in metric.signature


def test_tags_that_say_nothing_of_spans() -> None:
    assert list(conlleval(["I-PER", "I-LOC", "B-LOC", "O"])) == [("PER", 0, 0), ("LOC", 1, 1), ("LOC", 2, 2)]
    with pytest.raises(ValueError, match="'S-PER' is none of IOB2"):
        metric_named("entity_f1", "tagging", scheme="iob2").statistics(["S-PER"], ["O"])
    with pytest.raises(ValueError, match="1 tags for 2 words"):
        metric_named("accuracy", "tagging").statistics(["O"], ["O", "O"])


@pytest.mark.parametrize("lang", ["en", "zh"])
@given(items=pairs_of_texts)
@settings(max_examples=40, deadline=None)
def test_translations_are_scored_as_by_sacrebleu(lang: str, items: list[tuple[str, str]]) -> None:
    answers, wanted = map(list, zip(*items, strict=True))
    chinese = lang == "zh"
    theirs = {
        "bleu": BLEU(tokenize="zh" if chinese else "13a"),
        "chrf": CHRF(),
        "ter": TER(normalized=chinese, asian_support=chinese),
    }
    for name, peer in theirs.items():
        metric = metric_named(name, "generation", lang=lang)
        assert value(metric, answers, wanted) == pytest.approx(peer.corpus_score(answers, [wanted]).score, abs=1e-6)
        assert metric.signature == str(peer.get_signature())


def test_several_wanted_translations(rng: random.Random) -> None:
    def sentence() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randrange(1, 15)))

    answers, streams = [sentence() for _ in range(40)], [[sentence() for _ in range(40)] for _ in range(3)]
    for name, peer in {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}.items():
        metric = metric_named(name, "generation", lang="en", references=3)
        assert value(metric, answers, list(zip(*streams, strict=True))) == pytest.approx(
            peer.corpus_score(answers, streams).score, abs=1e-6
        )
        assert metric.signature == str(peer.get_signature()) and "nrefs:3" in metric.signature


@pytest.fixture
def rng() -> random.Random:
    return random.Random(5)


@given(texts, st.lists(texts, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_rouge_is_rouge_score_s(answer: str, wanted: list[str]) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    class Characters:
        def tokenize(self, text: str) -> list[str]:
            return tokens(text)

    types = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
    for lang, tokenizer in (("en", None), ("zh", Characters())):
        found = RougeScorer(list(types.values()), use_stemmer=False, tokenizer=tokenizer).score_multi(wanted, answer)
        for ours, theirs in types.items():
            assert value(metric_named(ours, "generation", lang=lang), [answer], [wanted]) == pytest.approx(found[theirs].fmeasure, abs=1e-6)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
@settings(max_examples=100, deadline=None)
def test_the_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    row = [0] * (len(b) + 1)
    for one in a:
        new = [0]
        for place, other in enumerate(b):
            new.append(row[place] + 1 if one == other else max(row[place + 1], new[place]))
        row = new
    assert subsequence(a, b) == row[-1]


def test_what_was_wanted_decides_the_script() -> None:
    metric = metric_named("rouge_1", "generation")
    assert value(metric, ["中国的 fox"], ["the fox"]) == pytest.approx(2 * 1 / (1 + 2)), "of an English text Han characters are no tokens"
    assert value(metric, ["中国的"], ["中国"]) == pytest.approx(2 * 2 / (3 + 2))
    assert metric_named("rouge_1", "generation", lang="zh").signature != metric.signature


def squad_normal(text: str) -> str:
    import re

    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad(answer: str, wanted: str) -> tuple[float, float]:
    """Exact match and F1 as SQuAD 1.1 defines them."""
    a, b = squad_normal(answer).split(), squad_normal(wanted).split()
    same = sum((Counter(a) & Counter(b)).values())
    precision, recall = same / max(len(a), 1), same / max(len(b), 1)
    return float(a == b), 2 * precision * recall / (precision + recall) if same else 0.0


SPECIAL = [*r"-:_*^/\~`+=，。：？！“”；’《》", "……", *"·、「」（）－～『』"]


def cmrc_pieces(text: str) -> list[str]:
    """CMRC 2018's mixed segmentation; NLTK's words, where letters have neither clitics nor punctuation inside, are those between spaces."""
    pieces, word = [], ""
    for char in [c for c in text.lower().strip() if c not in SPECIAL] + ["的"]:
        if "\u4e00" <= char <= "\u9fa5":
            pieces += [*word.split(), char]
            word = ""
        else:
            word += char
    return pieces[:-1]


def cmrc(answer: str, wanted: str) -> tuple[float, float]:
    """Exact match, and F1 by the longest run in common, as CMRC 2018 defines them."""
    a, b = cmrc_pieces(answer), cmrc_pieces(wanted)
    runs = [n for n in range(1, len(a) + 1) for i in range(len(a) - n + 1) for j in range(len(b) - n + 1) if a[i : i + n] == b[j : j + n]]
    same = max(runs, default=0)
    exact = [c for c in answer.lower().strip() if c not in SPECIAL] == [c for c in wanted.lower().strip() if c not in SPECIAL]
    return float(exact), 2 * same / (len(a) + len(b)) if same else 0.0


chinese = st.lists(st.sampled_from([*"中国北京人民的，。《》‘…", "apple", " ", "2008", "－", "the"]), max_size=10).map("".join)


@given(texts, st.lists(texts, min_size=1, max_size=3), chinese, st.lists(chinese, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_answers_are_judged_as_by_the_official_scripts(answer: str, wanted: list[str], zh_answer: str, zh_wanted: list[str]) -> None:
    for lang, official, one, several in (("en", squad, answer, wanted), ("zh", cmrc, zh_answer, zh_wanted)):
        several = [text for text in several if "‘" not in text and "…" not in text] or ["人"]
        one = one.replace("‘", "").replace("…", "") if lang == "zh" else one
        expected = [max(column) for column in zip(*(official(one, text) for text in several), strict=True)]
        found = [value(metric_named(name, "answers", lang=lang), [one], [several]) for name in ("exact_match", "f1")]
        assert found == pytest.approx(expected, abs=1e-6)


def test_answers_by_script_and_without_any() -> None:
    f1, exact = (metric_named(name, "answers") for name in ("f1", "exact_match"))
    assert value(f1, ["北京大学"], [["在北京"]]) == pytest.approx(2 * 2 / (4 + 3))
    assert value(f1, ["The Eiffel Tower"], [["Eiffel tower!", "a tower"]]) == 1
    assert value(exact, ["", "the", "x"], [[], [], []]) == pytest.approx(2 / 3), "SQuAD 2.0: no answer wants none"
    assert value(exact, ["《红楼梦》"], [["红楼梦"]]) == 1
    assert f1.signature != metric_named("f1", "answers", lang="zh").signature


def test_pass_at_k_is_the_chance_that_one_of_k_passes() -> None:
    draw = random.Random(3)
    passed = [True, False, False, True, False, False, False, False]
    drawn = np.mean([any(draw.sample(passed, 3)) for _ in range(20_000)])
    assert value(metric_named("pass_at_3", "code"), [passed], [None]) == pytest.approx(drawn, abs=0.015)
    assert value(metric_named("pass_at_1", "code"), [[True], [False], [True, False]], [None] * 3) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="pass@2 wants 2 programs of each problem: there are 1"):
        metric_named("pass_at_2", "code").statistics([True], None)


def test_likelihoods() -> None:
    nats, sizes = [3.0, 9.0], [(2, 5), (4, 7)]
    found = {name: value(metric_named(name, "language_modelling"), nats, sizes) for name in ("loss", "perplexity", "bits_per_byte")}
    assert found == pytest.approx({"loss": 2.0, "perplexity": np.exp(2.0), "bits_per_byte": 12 / np.log(2) / 12})


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(1, 90), st.integers(1, 400)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_likelihoods_are_those_of_lm_eval(items: list[tuple[float, int, int]]) -> None:
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity

    nats, sizes = [item[0] for item in items], [item[1:] for item in items]
    by_token, by_byte = ([(-n, size[unit]) for n, size in zip(nats, sizes, strict=True)] for unit in (0, 1))
    ours = {name: value(metric_named(name, "language_modelling"), nats, sizes) for name in ("perplexity", "bits_per_byte")}
    assert ours["bits_per_byte"] == pytest.approx(bits_per_byte(by_byte), abs=1e-6)
    assert ours["perplexity"] == pytest.approx(weighted_perplexity(by_token), rel=1e-9)


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_of_every_task_is_there(kind: str) -> None:
    for name in METRICS[kind]:
        metric = metric_named(name, kind, labels=LABELS)
        assert metric.name == name and metric.signature


def test_unknown_names_and_no_items_are_refused() -> None:
    for ask in (lambda: metric_named("bleurt", "generation"), lambda: value_named("bleurt")):
        with pytest.raises(ValueError, match="there is no metric 'bleurt'; there is accuracy, .* and pass_at_K"):
            ask()
    with pytest.raises(ValueError, match="accuracy: there are no items to judge"):
        metric_named("accuracy", "classification").of([], [])
    with pytest.raises(ValueError, match="label 'odd' is none of neg, neutral, pos, unheard of"):
        metric_named("mcc", "classification", labels=LABELS).statistics("neg", "odd")
    with pytest.raises(ValueError, match="labels must be given"):
        metric_named("mcc", "classification")


@pytest.mark.parametrize("name", ["macro_f1", "mcc", "bleu", "chrf", "ter", "entity_f1"])
def test_values_of_many_sums_are_those_of_each(name: str, rng: random.Random) -> None:
    metric = metric_named(name, "generation", labels=LABELS, lang="en")
    if name in ("macro_f1", "mcc"):
        answers, wanted = rng.choices(LABELS, k=30), rng.choices(LABELS, k=30)
    elif name == "entity_f1":
        answers, wanted = [rng.choices(TAGS, k=8) for _ in range(30)], [rng.choices(TAGS, k=8) for _ in range(30)]
    else:
        answers, wanted = ([" ".join(rng.choices(WORDS, k=rng.randrange(12))) for _ in range(30)] for _ in range(2))
    statistics = metric.of(answers, wanted)
    sums = np.stack([statistics[a:b].sum(0) for a, b in pairwise(sorted(rng.sample(range(31), 12)))]).reshape(11, 1, -1)
    assert metric.value(sums).shape == (11, 1)
    assert metric.value(sums).ravel() == pytest.approx([float(metric.value(row[0])) for row in sums], abs=1e-12)


def test_a_measure_is_the_same_each_time_and_near_what_theory_says() -> None:
    metric = metric_named("accuracy", "classification")
    statistics = metric.of(["a"] * 400, ["a"] * 300 + ["b"] * 100)
    found = measure(metric, statistics, seed=7)
    assert found == measure(metric, statistics, seed=7) != measure(metric, statistics, seed=8)
    error = (0.75 * 0.25 / 400) ** 0.5
    assert found.value == 0.75 and found.standard_error == pytest.approx(error, rel=0.1)
    assert found.interval == pytest.approx((0.75 - 1.96 * error, 0.75 + 1.96 * error), abs=0.006)


@pytest.mark.slow
def test_the_interval_holds_the_truth_in_95_of_100_cases() -> None:
    """The ratio of two sums, as bits per byte is; 300 samples of 80 items of a population whose value is known."""
    draw = np.random.default_rng(11)
    sizes = draw.integers(20, 200, 100_000)
    nats = sizes * draw.gamma(4, 0.3, 100_000)
    metric = metric_named("bits_per_byte", "language_modelling")
    population = np.stack([nats, sizes, sizes], axis=1)
    truth = float(metric.value(population.sum(0)))
    held = 0
    for sample in range(300):
        low, high = measure(metric, population[draw.integers(100_000, size=80)], sample).interval or (0, 0)
        held += low <= truth <= high
    assert 0.90 <= held / 300 <= 0.98


def test_wilson_intervals() -> None:
    """Of Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    for hits, n, wanted in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))):
        assert wilson(hits, n) == pytest.approx(wanted, abs=6e-5)
