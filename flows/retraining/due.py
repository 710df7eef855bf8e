"""The model: a retraining is *due* if there is a *reason* (there is no champion, enough new tokens, drift) and nothing for which it
*waits* (what was decided already, the time since the last one, a frozen window). Both are told in words, with counts.

Nothing is remembered between two questions: the answer follows from the store, the recipe and the clock. So events that come twice, or
never, do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.drift import drifted
from flows.retraining.decided import ledger
from flows.retraining.news import News, champions_tokens, count
from flows.retraining.times import frozen_until, spoken
from schemas.artifact import Artifact
from schemas.champion import Reign, champion
from schemas.errors import RequestError
from schemas.recipe import Recipe, Retrain
from schemas.store import Store


@dataclass(frozen=True)
class Due:
    """The answer, and what it is about."""

    due: bool
    reasons: tuple[str, ...]
    """For it."""
    waits: tuple[str, ...]
    """Against it: any of them is enough."""
    new_documents: int
    """Training documents that the champion's tokens don't have."""
    new_tokens: int
    tokens: Artifact
    """The newest, which the next challenger learns from."""
    reign: Reign | None

    def as_json(self) -> dict[str, Any]:
        return {
            "due": self.due,
            "reasons": list(self.reasons),
            "waits": list(self.waits),
            "new_documents": self.new_documents,
            "new_tokens": self.new_tokens,
            "tokens": self.tokens.reference,
            "reign": self.reign.number if self.reign is not None else None,
        }


def due(recipe: Recipe, store: Store, now: datetime) -> Due:
    """Whether a retraining of the recipe is due. Drift is only measured where nothing else has settled the answer.

    Raises `RequestError` if the recipe has no retrain section, or there are no tokens.
    """
    retrain = recipe.retrain
    if retrain is None:
        raise RequestError(f"recipe {recipe.name}: has no retrain section, which says when new text is reason enough: add `retrain: {{}}`")
    tokens, reign = store.find(f"tokens/{recipe.name}"), champion(store.root, recipe.name)
    learned = champions_tokens(store, reign) if reign is not None else None
    news = count(tokens, learned)
    reasons = _reasons(retrain, reign, learned, news)
    waits = _waits(recipe.name, retrain, store, tokens, reign, now)
    if retrain.drift is not None and reign is not None and learned is not None and news.documents and not reasons and not waits:
        reasons = drifted(recipe, store)
    if not reasons and not waits:
        enough = f"; {retrain.after_tokens:,} are reason enough" if retrain.after_tokens is not None else ""
        waits = (f"{_told(news)}{enough}",)
    return Due(bool(reasons) and not waits, reasons, waits, news.documents, news.tokens, tokens, reign)


def _reasons(retrain: Retrain, reign: Reign | None, learned: Artifact | None, news: News) -> tuple[str, ...]:
    if reign is None:
        return ("there is no champion yet",)
    if retrain.after_tokens is not None and news.tokens >= retrain.after_tokens:
        lost = "" if learned is not None else "; what the champion learned from is not in the store, so all counts as new"
        return (f"{_told(news)}, at least the {retrain.after_tokens:,} of retrain.after_tokens{lost}",)
    return ()


def _waits(name: str, retrain: Retrain, store: Store, tokens: Artifact, reign: Reign | None, now: datetime) -> tuple[str, ...]:
    waits: list[str] = []
    decided = list(ledger(store, name))
    number = reign.number if reign is not None else 0
    same = [one for one in decided if (one.tokens, one.reign) == (tokens.manifest.content_digest, number)]
    if same:
        waits.append(f"{same[-1].decision.reference} has decided about {tokens.reference} beside the champion of reign {number}")
    last = max((one.began for one in decided), default=None)
    if last is not None and last + timedelta(seconds=retrain.at_most_every) > now:
        left = (last + timedelta(seconds=retrain.at_most_every) - now).total_seconds()
        waits.append(
            f"the last retraining began {spoken((now - last).total_seconds())} ago; the next may in {spoken(left)} (at_most_every)"
        )
    if (until := frozen_until(retrain.frozen, now)) is not None:
        waits.append(f"nothing begins before {until:%a %Y-%m-%d %H:%M} UTC (retrain.frozen)")
    return tuple(waits)


def _told(news: News) -> str:
    return f"{news.tokens:,} new training tokens in {news.documents:,} documents"
