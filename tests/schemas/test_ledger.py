"""Ledgers balance, add up, and say what does not."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.ledger import Ledger, add_by_source

counts = st.integers(0, 10**9)
reasons = st.dictionaries(st.sampled_from(["empty", "min_words", "too_long"]), st.tuples(counts, counts))


@st.composite
def balanced(draw: st.DrawFn) -> Ledger:
    rejected = draw(reasons)
    kept, failed, read, empty, unreadable = (draw(counts) for _ in range(5))
    kept_bytes, failed_bytes, framing = (draw(counts) for _ in range(3))
    return Ledger(
        read + empty + unreadable, read, empty, unreadable,
        kept + failed + sum(n for n, _ in rejected.values()), kept, failed, {r: n for r, (n, _) in rejected.items()},
        kept_bytes + failed_bytes + framing + sum(b for _, b in rejected.values()), kept_bytes, failed_bytes, framing,
        {r: b for r, (_, b) in rejected.items()}, {"nfc": draw(counts)},
    )  # fmt: skip


@given(st.lists(balanced(), max_size=5))
def test_sums_of_balanced_ledgers_balance(ledgers: list[Ledger]) -> None:
    total = sum(ledgers, Ledger())
    assert total.imbalances() == []
    assert total.records_read == sum(ledger.records_read for ledger in ledgers)
    assert total.cleaned.get("nfc", 0) == sum(ledger.cleaned["nfc"] for ledger in ledgers)


@given(balanced())
def test_one_lost_record_is_noticed(ledger: Ledger) -> None:
    lost = ledger + Ledger(records_read=1)
    assert len(lost.imbalances()) == 1
    assert "records read" in lost.imbalances()[0]


def test_reasons_of_records_and_bytes_must_agree() -> None:
    assert Ledger(records_read=1, rejected={"empty": 1}).imbalances() == [
        "reasons differ between records ['empty'] and bytes []",
    ]


@given(balanced())
def test_json_round_trip(ledger: Ledger) -> None:
    assert Ledger.from_json(ledger.as_json()) == ledger


def test_add_by_source_keeps_sources_apart() -> None:
    added = add_by_source([{"b": Ledger(records_read=1)}, {"a": Ledger(records_read=2), "b": Ledger(records_read=3)}])
    assert {source: ledger.records_read for source, ledger in added.items()} == {"a": 2, "b": 4}
    assert list(added) == ["a", "b"]
