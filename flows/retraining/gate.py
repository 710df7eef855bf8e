"""The model: a *gate* reads what judging found (`flows.retraining.judging`), and passes or refuses the challenger. It passes if its gain
is more than what is needed, every guard's test passes, and its export has parity. A guard that can't be *measured* bars nobody: it is told
as such.

Pure: numbers and words follow from the items of the evaluation and the settings of the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flows.evaluated import results_of
from flows.retraining.judging import BIAS, CHAMPION, MEMORISATION, PARITY, SETS, TASKS
from model.metrics.gating import FEWEST, Gain, Guarded, corrected, draws_for, fewest, gained, guarded
from model.metrics.items import read_items
from model.metrics.metric import Floats
from model.metrics.named import value_named
from model.metrics.verdicts import OF_A_HUNDRED, told_p
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import read_json
from schemas.recipe import Gate
from schemas.results import MODEL, Result

LANGUAGES = "languages"
BITS = "bits_per_byte"
UNITS = {BITS: "bits per byte", "widest_gap": "between groups", "mean_gap": "nats between pronouns", "verbatim_texts": "of prompts"}


@dataclass(frozen=True)
class Guard:
    """One guard's test, and what it is about."""

    guard: str
    """Of the recipe: languages, tasks, bias, memorisation."""
    what: str
    metric: str
    test: Guarded


@dataclass(frozen=True)
class Measured:
    """All that the gate goes by."""

    gain: Gain | None
    """None: no text is held out."""
    guards: tuple[Guard, ...]
    parity: Mapping[str, Mapping[str, Any]]
    """By the step that made the model."""
    missing: tuple[str, ...]
    """What could not be measured, with the reason."""


def asked_of(gate: Gate) -> list[str]:
    """What judging has to ask beside held-out text."""
    return [PARITY, *(name for name in (TASKS, BIAS, MEMORISATION) if getattr(gate.guards, name) is not None)]


def measure(evaluation: Artifact, gate: Gate, needed: float, seed: int) -> Measured:
    """What the gate finds in an evaluation. Raises `Damaged` naming a file."""
    results = {result.task: result for result in results_of(evaluation)}
    found = read_json(evaluation.paths("results")[0])
    asked = SETS if gate.on == "both" else (gate.on,)
    gain = _gain(evaluation, results.values(), asked, gate.alpha, needed, seed)
    guards, missing = _guards(evaluation, results, gate, seed)
    missing += [f"{guard}: {why}" for guard, why in sorted(found["not_measured"].items())]
    missing += [f"{PARITY} of {step}: {one['told']}" for step, one in sorted(found["parity"].items()) if one["passed"] is None]
    return Measured(gain, tuple(guards), found["parity"], tuple(missing))


def bits_per_byte(evaluation: Artifact, system: str, gate: Gate) -> float:
    """Of one system, over the sets that the gain is measured on. Raises `RequestError` if no text of them is held out."""
    asked = SETS if gate.on == "both" else (gate.on,)
    rows = [items_of(evaluation, result, system) for result in results_of(evaluation) if set_of(result) in asked]
    if not rows:
        raise RequestError(f"{evaluation.reference}: no text is held out to measure on: see corpus.held_out and retrain.gate.on")
    return float(value_named(BITS)(np.concatenate(rows).sum(0)))


def _gain(evaluation: Artifact, results: Any, asked: Sequence[str], alpha: float, needed: float, seed: int) -> Gain | None:
    chosen = [result for result in results if set_of(result) in asked]
    if not chosen:
        return None
    champion, challenger = (np.concatenate([items_of(evaluation, one, system) for one in chosen]) for system in (CHAMPION, MODEL))
    return gained(champion, challenger, value_named(BITS), needed, alpha, seed)


def set_of(result: Result) -> str | None:
    """The set of which a result is all text of one language."""
    name, _, rest = result.task.partition(".")
    return name if result.headline == BITS and name in SETS and not rest.startswith("from.") else None


def items_of(evaluation: Artifact, result: Result, system: str, metric: str = BITS) -> Floats:
    """[items, k] statistics of a system."""
    assert result.items is not None
    return read_items(evaluation.path / result.items, system).statistics[metric]


def _guards(evaluation: Artifact, results: Mapping[str, Result], gate: Gate, seed: int) -> tuple[list[Guard], list[str]]:
    guards: list[Guard] = []
    missing: list[str] = []
    margins: Mapping[str, float | None] = gate.guards.model_dump()
    about = [(result, *_about(result)) for result in results.values()]
    asked = [(result, guard, what, margin) for result, guard, what in about if (margin := margins.get(guard)) is not None]
    wanted, draws = (fewest(len(asked), gate.alpha), draws_for(len(asked), gate.alpha)) if asked else (0, 0)
    for result, guard, what, margin in asked:
        if result.n < wanted:
            missing.append(f"{guard}, {what}: {result.n} items are too few to tell; {wanted} are wanted")
            continue
        champion, challenger = (items_of(evaluation, result, system, result.headline) for system in (CHAMPION, MODEL))
        better = result.systems[MODEL][result.headline].better
        margin *= 100 if result.headline in OF_A_HUNDRED else 1  # the recipe's is in points of 0 to 1
        test = guarded(champion, challenger, value_named(result.headline), better, margin, guard == LANGUAGES, seed, draws)
        guards.append(Guard(guard, what, result.headline, test))
    tests = corrected([one.test for one in guards])
    return [Guard(one.guard, one.what, one.metric, test) for one, test in zip(guards, tests, strict=True)], missing


def _about(result: Result) -> tuple[str, str]:
    """The guard that a result is of, and what it says of."""
    name, _, rest = result.task.partition(".")
    if (found := set_of(result)) is not None:
        return LANGUAGES, f"{rest} on {found} text"
    if name == BIAS:
        return BIAS, rest
    if name == MEMORISATION:
        return MEMORISATION, "training text"
    return ("", "") if result.headline == BITS else (TASKS, result.task)


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger passes, and why, in words."""

    passed: bool
    reasons: tuple[str, ...]
    """For it, or against it: first those that bar it."""


def judged(measured: Measured, gate: Gate) -> Verdict:
    """The gate's verdict."""
    against: list[str] = []
    gained_words = _gain_words(measured.gain, gate)
    if measured.gain is None or not measured.gain.passed:
        against.append(gained_words)
    against += [_guard_words(one, gate.alpha) for one in measured.guards if not one.test.passed(gate.alpha)]
    against += [f"export of {step}: {one['told']}" for step, one in sorted(measured.parity.items()) if one["passed"] is False]
    if against:
        return Verdict(False, tuple(against))
    kept = f"{len(measured.guards)} guarded figures are not worse by their margins" if measured.guards else "nothing is guarded"
    return Verdict(True, (gained_words, kept))


def _gain_words(gain: Gain | None, gate: Gate) -> str:
    where = "old and new text" if gate.on == "both" else f"{gate.on} text"
    if gain is None:
        return f"no {where} is held out, so that no gain can be measured: see corpus.held_out"
    low, high = gain.interval
    sure = f"{100 * (1 - gate.alpha):g} % interval {low:+.4f} to {high:+.4f}"
    wanted = "more than" if low > gain.needed else "which is not more than"
    few = f"; {gain.n} texts are too few to tell, {FEWEST} are wanted" if gain.n < FEWEST else ""
    return (
        f"gain on {where}: {gain.champion:.4f} -> {gain.challenger:.4f} bits per byte, {gain.gain:+.4f} ({sure}); at its lower end "
        f"{wanted} the {gain.needed:.4f} that are needed{few}"
    )


def _guard_words(one: Guard, alpha: float) -> str:
    """What bars a challenger."""
    test, share = one.test, one.guard == LANGUAGES
    amount: Callable[[float], str] = (lambda x: f"{100 * x:+.1f} %") if share else (lambda x: f"{x:+.4f}")
    margin = f"{100 * test.margin:g} %" if share else f"{test.margin:g}"
    head = f"{one.what}: {test.champion:.4f} -> {test.challenger:.4f} {UNITS.get(one.metric, one.metric)}"
    side = "worse by " if test.worse > 0 else "better by " if test.worse < 0 else "no change, "
    change = f"{side}{amount(abs(test.worse)).lstrip('+')}"
    if test.worse >= test.margin:
        return f"{head}, {change}, which is not less than the margin of {margin}"
    return (
        f"{head}, {change}; that it is not worse by {margin} is not shown: it may be by {amount(test.interval[1])} "
        f"(p {told_p(test.corrected)} after correction, wanted {alpha:g})"
    )


def as_json(measured: Measured, gate: Gate) -> dict[str, Any]:
    """All figures, for `decision.json`."""
    gain = measured.gain
    return {
        "gain": None if gain is None else {**asdict(gain), "passed": gain.passed},
        "guards": [
            {"guard": one.guard, "what": one.what, "metric": one.metric, **asdict(one.test), "passed": one.test.passed(gate.alpha)}
            for one in measured.guards
        ],
        "parity": {step: dict(one) for step, one in measured.parity.items()},
        "not_measured": list(measured.missing),
    }
