"""Charts are pure functions of figures: what they draw stands where the figures say, and is the same each time."""

import itertools
import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.report.charts import WIDTH, Estimate, Series, bar, dots, intervals, lengths, lines
from flows.report.facts import Curve, Lengths, Node
from flows.report.lineage import edges, lineage
from flows.report.svg import Scale, number, spread, tick_labels, ticks
from flows.report.wording import THIN, count, percent, plain, size

HOSTILE = '</text><script>alert(1)</script>"\u202e\x00'

finite = st.floats(-1e9, 1e9, allow_nan=False)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(root: ElementTree.Element, class_: str = "") -> list[str]:
    return [e.text or "" for e in root.iter("text") if class_ in (e.get("class") or "")]


def curve(*points: tuple[float, float]) -> Curve:
    steps, values = zip(*points, strict=True)
    return Curve(steps, values, values, values)


def of_length(*bins: int) -> Lengths:
    return Lengths(bins, 1, 6, 20, 30)


def node(role: str, digest: str, **inputs: str) -> Node:
    return Node(role, role, "demo", "v1", role, 1, "f" * 64, digest, inputs, {}, {}, 1, 10)


ALL = {
    "lines": lambda name: lines("k", name, [Series(name, 0, curve((1, 2.0), (2, 1.0))), Series("b", 1, curve((1, 3.0)))], name, band=True),
    "lengths": lambda name: lengths("k", name, [(name, 0, of_length(0, 3, 5)), ("b", 1, of_length(1))]),
    "dots": lambda name: dots("k", name, [name, "VERB"], [(name, 0, [0.4, 0.6]), ("b", 1, [1.0, 0.0])], name),
    "intervals": lambda name: intervals("k", name, [Estimate(name, 0, 1.5, (1.4, 1.6), [("KN 2", 1.9), (name, 1.7)])], name),
    "lineage": lambda name: lineage("k", name, [node(name, "1"), node("tokens", "2", documents="1"), node("model", "3", a="1", b="2")]),
}


@pytest.mark.parametrize("kind", ALL)
def test_a_chart_is_well_formed_named_described_and_the_same_each_time(kind: str) -> None:
    drawn = ALL[kind]("Losses & gains")
    root = parsed(drawn)
    assert root.get("role") == "img"
    named = {e.get("id"): e.text for e in root if e.tag in ("title", "desc")}
    assert root.get("aria-labelledby", "").split() == list(named)
    assert named["k-title"] == "Losses & gains" and named["k-desc"]
    assert drawn == ALL[kind]("Losses & gains")


@pytest.mark.parametrize("kind", ALL)
def test_hostile_names_stay_text(kind: str) -> None:
    root = parsed(ALL[kind](HOSTILE))
    assert not list(root.iter("script"))
    assert any(plain(HOSTILE) in text for text in root.itertext())


def test_higher_values_stand_higher_and_later_steps_further_right() -> None:
    root = parsed(lines("k", "t", [Series("s", 0, curve((1, 1.0), (5, 3.0), (9, 2.0)))], "loss", named=False))
    places = [(float(e.get("cx", "")), float(e.get("cy", ""))) for e in root.iter("circle")]
    xs, ys = zip(*places, strict=True)
    assert list(xs) == sorted(xs)
    assert ys[1] < ys[2] < ys[0]


def test_a_flat_curve_and_a_single_point_can_be_drawn() -> None:
    for points in ([(1, 2.0)], [(1, 0.0), (2, 0.0)], [(0, 5.0)]):
        root = parsed(lines("k", "t", [Series("s", 0, curve(*points))], "loss"))
        assert "nan" not in ElementTree.tostring(root, encoding="unicode")


def test_lines_without_values_say_so() -> None:
    with pytest.raises(ValueError, match="'k' has no values"):
        lines("k", "t", [Series("s", 0, Curve())], "loss")


def test_names_at_the_line_ends_do_not_touch() -> None:
    series = [Series(f"language {i}", i, curve((1, 2.0 + i), (2, 1.0 + i / 1000))) for i in range(5)]
    root = parsed(lines("k", "t", series, "loss"))
    ys = sorted(float(e.get("y", "")) for e in root.iter("text") if "series" in (e.get("class") or ""))
    assert min(b - a for a, b in itertools.pairwise(ys)) >= 12


def test_bars_of_a_histogram_are_as_high_as_their_counts() -> None:
    root = parsed(lengths("k", "t", [("English", 0, of_length(0, 10, 5, 0, 1))]))
    high = [float(e.get("height", "")) for e in root.iter("rect")]
    assert len(high) == 3
    assert high[1] == pytest.approx(high[0] / 2, abs=0.2)
    notes = [e.findtext("title") for e in root.iter("rect")]
    assert notes == [
        "English, 2 to 3 characters: 10 documents",
        "English, 4 to 7 characters: 5 documents",
        "English, 16 to 31 characters: 1 document",
    ]


def test_dots_stand_at_their_shares() -> None:
    root = parsed(dots("k", "t", ["NOUN", "VERB"], [("a", 0, [0.5, 0.25]), ("b", 1, [0.0, 0.25])], "share"))
    a_noun, b_noun, a_verb, b_verb = (float(e.get("cx", "")) for e in root.iter("circle"))
    assert a_verb == b_verb == pytest.approx((a_noun + b_noun) / 2, abs=0.1)


def test_whiskers_hold_their_estimate() -> None:
    root = parsed(intervals("k", "t", [Estimate("en", 0, 1.5, (1.4, 1.7), [("KN 2", 1.9)])], "bits"))
    whisker = next(e for e in root.iter("line") if "whisker" in (e.get("class") or ""))
    (dot,) = root.iter("circle")
    assert float(whisker.get("x1", "")) < float(dot.get("cx", "")) < float(whisker.get("x2", "")) < WIDTH


def test_an_arc_for_every_input_that_is_on_the_page() -> None:
    nodes = [node("documents", "d"), node("tokenizer", "t", documents="d"), node("tokens", "k", documents="d", tokenizer="t", other="x")]
    assert edges(nodes) == [(0, 1), (0, 2), (1, 2)]
    root = parsed(lineage("k", "t", nodes))
    assert len([e for e in root.iter() if e.get("class") == "edge"]) == 3
    assert "tokens from documents, tokenizer" in root.findtext("desc", "")


def test_a_bar_is_never_invisible_unless_it_is_zero() -> None:
    widths = [float(parsed(bar(0, share, "kept"))[0].get("width", "")) for share in (0, 1e-9, 0.5, 1)]
    assert widths == [0, 3, 500, 1000]


@given(finite, finite)
def test_ticks_are_inside_few_and_evenly_apart(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = ticks(low, high)
    if high - low > 1e-6 * max(abs(low), abs(high), 1):
        assert 2 <= len(found) <= 11
        slack = (high - low) * 1e-6
        assert low - slack <= found[0] and found[-1] <= high + slack
        steps = [q - p for p, q in itertools.pairwise(found)]
        assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_labels_are_spread_in_order_and_inside_if_they_fit(wanted: list[float]) -> None:
    placed = spread(wanted, 10, 0, 100)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    assert all(placed[b] - placed[a] >= 10 - 1e-9 for a, b in itertools.pairwise(order))
    assert min(placed) >= -1e-9 and max(placed) <= 100 + 1e-9


@given(finite)
def test_a_coordinate_is_short_and_near(value: float) -> None:
    assert abs(float(number(value)) - value) <= 0.051
    assert number(value) != "-0"


def test_axis_labels_have_the_decimals_of_their_step() -> None:
    assert [tick_labels([0, 0.0005, 0.001])(v) for v in (0, 0.0005, 0.001)] == ["0", "0.0005", "0.0010"]


def test_a_scale_without_a_span_gives_its_middle() -> None:
    assert Scale(3, 3, 0, 10)(3) == 5


@given(st.text())
def test_plain_text_keeps_its_length_and_can_always_be_written(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\t\n" for c in shown)
    assert plain(shown) == shown


def test_lone_surrogates_become_replacement_characters() -> None:
    assert plain("a\ud800b") == "a\ufffdb"


@given(st.integers(1, 10**15))
def test_sizes_have_three_digits_and_are_right(value: int) -> None:
    figure, _, unit = size(value).partition(THIN)
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert float(figure.replace(",", "")) * factor == pytest.approx(value, rel=0.006)
    assert sum(c.isdigit() for c in figure) <= 4


def test_shares_never_read_as_none_or_all_unless_they_are() -> None:
    assert percent(1e-7).startswith("<") and percent(1 - 1e-7).startswith(">")
    assert math.isclose(float(percent(0.1234).split(THIN)[0]), 12.3)
    assert count(-1234) == "\u22121,234"
