"""When a retraining is due: reasons and waits, told with counts, from nothing but the store, the recipe and the clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.retraining.askable import is_askable
from flows.retraining.decided import ledger
from flows.retraining.due import Due, due
from flows.retraining.news import count
from flows.retraining.times import frozen_until
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.files import remove_tree
from schemas.recipe import Recipe, Retrain, Tokenizer, Window
from schemas.store import Store
from tests.flows.chains import ingest, ingest_tokens, recipe, rows
from tests.flows.champions import crown, decide
from tests.flows.test_ingest_tokens import arrive, make_tokenizer

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK = timedelta(days=7)
SETS: tuple[Literal["old", "new", "both"], ...] = ("old", "new", "both")
clocks = st.times(min_value=datetime.min.time()).map(lambda t: t.strftime("%H:%M"))
windows = st.builds(Window, days=st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple), start=clocks, end=clocks)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))


def is_in(window: Window, now: datetime) -> bool:
    """By the minute, as the recipe's words have it."""
    clock, today, yesterday = now.strftime("%H:%M"), DAYS[now.weekday()], DAYS[(now - timedelta(days=1)).weekday()]
    if window.start < window.end:
        return today in window.days and window.start <= clock < window.end
    return (today in window.days and clock >= window.start) or (yesterday in window.days and clock < window.end)


@given(st.lists(windows, max_size=4), moments)
def test_it_is_frozen_just_in_windows_and_until_the_first_moment_outside(found: list[Window], now: datetime) -> None:
    until = frozen_until(found, now)
    assert (until is not None) == any(is_in(window, now) for window in found)
    if until is not None and until < now + WEEK:
        assert not any(is_in(window, until) for window in found)
        assert any(is_in(window, until - timedelta(minutes=1)) for window in found) or until - timedelta(minutes=1) < now
    assert until is None or now < until <= now + WEEK


def test_a_window_over_midnight_belongs_to_the_day_that_it_begins_on() -> None:
    night = Window(days=("fri",), start="22:00", end="06:00")
    saturday = datetime(2026, 11, 28, 5, 59, tzinfo=UTC)
    assert frozen_until([night], saturday) == datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
    assert frozen_until([night], saturday + timedelta(minutes=1)) is None
    assert frozen_until([night], saturday - timedelta(days=1)) is None


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=24)), moments)
def test_the_time_zone_of_now_does_not_matter(shift: timedelta, now: datetime) -> None:
    night = [Window(start="22:00", end="06:00")]
    elsewhere = now.astimezone(timezone(min(shift, timedelta(hours=23)) - timedelta(hours=12)))
    assert frozen_until(night, elsewhere) == frozen_until(night, now)


class Folder:
    """A store with a chain of tokens, which grows by one file at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        self.wanted = recipe(folder / "in").model_copy(update={"tokenizer": Tokenizer(vocab_size=512)})
        self.files = 0

    def grow(self) -> Artifact:
        arrive(self.folder, self.files)
        self.files += 1
        documents = ingest(self.store, self.wanted)
        return ingest_tokens(self.store, self.wanted, documents, make_tokenizer(self.store, self.wanted, documents))

    def due(self, now: datetime | None = None, **retrain: object) -> Due:
        asked: Recipe = self.wanted.model_copy(update={"retrain": Retrain.model_validate({"at_most_every": 0, **retrain})})
        return due(asked, self.store, now or datetime.now(UTC))


@pytest.fixture
def grown(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.grow()
    return folder


def test_without_a_champion_it_is_due(grown: Folder) -> None:
    found = grown.due()
    assert found.due and found.reasons == ("there is no champion yet",) and found.reign is None
    assert found.new_documents == 20


def test_new_tokens_count_against_the_champions_and_no_others(grown: Folder) -> None:
    first = next(grown.store.artifacts("tokens", "c"))
    crown(grown.store, first)
    nothing = grown.due(after_tokens=1)
    assert not nothing.due and nothing.new_tokens == nothing.new_documents == 0
    assert nothing.waits == ("0 new training tokens in 0 documents; 1 are reason enough",)
    second = grown.grow()
    new = [row for row in rows(second, "tokens") if row["doc_id"] not in {one["doc_id"] for one in rows(first, "tokens")}]
    wanted = sum(len(row["tokens"]) for row in new if row["subset"] == "train")
    found = grown.due(after_tokens=wanted)
    assert found.due and (found.new_tokens, found.new_documents) == (wanted, 20)
    assert found.reasons == (f"{wanted:,} new training tokens in 20 documents, at least the {wanted:,} of retrain.after_tokens",)
    assert found.tokens.reference == second.reference and found.reign is not None and found.reign.number == 1
    assert not grown.due(after_tokens=wanted + 1).due
    crown(grown.store, second)
    assert grown.due(after_tokens=1).new_tokens == 0


def test_shards_that_were_made_anew_are_no_news(grown: Folder, tmp_path: Path) -> None:
    before = grown.grow()
    whole = Folder(tmp_path / "whole")
    whole.wanted = recipe(grown.folder / "in", split_bytes=4000).model_copy(update={"tokenizer": Tokenizer(vocab_size=512)})
    documents = ingest(whole.store, whole.wanted)
    after = ingest_tokens(whole.store, whole.wanted, documents, make_tokenizer(whole.store, whole.wanted, documents))
    assert {file.digest for file in after.manifest.files("tokens")} - {file.digest for file in before.manifest.files("tokens")}
    assert count(after, before).documents == count(before, after).documents == 0
    assert count(after, None).documents == 40


def test_what_was_decided_about_is_not_due_again(grown: Folder) -> None:
    crown(grown.store, next(grown.store.artifacts("tokens", "c")))
    second = grown.grow()
    assert grown.due(after_tokens=1).due
    decision = decide(grown.store, second, 1)
    found = grown.due(after_tokens=1)
    assert not found.due and found.reasons
    assert found.waits == (f"{decision.reference} has decided about {second.reference} beside the champion of reign 1",)
    crown(grown.store, next(grown.store.artifacts("tokens", "c")))  # another champion: the question is new
    assert grown.due(after_tokens=1).due
    grown.grow()
    assert grown.due(after_tokens=1).due


def test_the_next_begins_a_period_after_the_last_one_began(grown: Folder) -> None:
    crown(grown.store, next(grown.store.artifacts("tokens", "c")))
    decide(grown.store, grown.grow(), 1)
    grown.grow()
    (decided,) = ledger(grown.store, "c")
    soon = decided.began + timedelta(minutes=30)
    found = grown.due(soon, after_tokens=1, at_most_every=3600)
    assert not found.due
    assert found.waits == ("the last retraining began 30 min ago; the next may in 30 min (at_most_every)",)
    assert grown.due(soon + timedelta(minutes=31), after_tokens=1, at_most_every=3600).due
    everything = [{"start": "00:00", "end": "00:00"}]
    assert any("retrain.frozen" in wait for wait in grown.due(after_tokens=1, frozen=everything).waits)


def test_a_retraining_did_not_begin_with_the_one_that_made_its_champion(grown: Folder) -> None:
    decide(grown.store, grown.grow(), 1)
    (promoted,) = grown.store.artifacts("model", "c-challenger")
    decide(grown.store, grown.grow(), 2, promoted)
    first, second = ledger(grown.store, "c")
    assert second.began > first.began


def test_a_gain_is_only_asked_for_where_text_is_held_out(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "store"), recipe(tmp_path / "in", held_out={"validation": 0, "test": 1})
    arrive(tmp_path, 0)
    before = ingest(store, wanted)
    assert [is_askable(before, before, on) for on in SETS] == [True, False, True]
    arrive(tmp_path, 1)
    after = ingest(store, wanted)
    assert is_askable(before, after, "new") and not is_askable(after, after, "new")
    none = ingest(Store(tmp_path / "none"), recipe(tmp_path / "in", held_out={"validation": 1, "test": 0}))
    assert not any(is_askable(none, none, on) for on in SETS)


def test_a_champion_whose_tokens_are_gone_makes_all_new(grown: Folder) -> None:
    first = next(grown.store.artifacts("tokens", "c"))
    crown(grown.store, first)
    remove_tree(first.path)
    grown.grow()
    found = grown.due(after_tokens=1)
    assert found.due and found.new_documents == 40 and "is not in the store, so all counts as new" in found.reasons[0]


def test_what_can_not_be_answered_is_told(grown: Folder, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no retrain section"):
        due(grown.wanted, grown.store, datetime.now(UTC))
    empty = Folder(tmp_path / "empty")
    with pytest.raises(RequestError, match="tokens/c"):
        empty.due()


def test_the_answer_is_small_json(grown: Folder) -> None:
    told = json.loads(json.dumps(grown.due().as_json()))
    assert told["due"] is True and told["reign"] is None and told["tokens"].startswith("tokens/c@")
