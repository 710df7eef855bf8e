"""The model: *items* are what real models of several seeds, equal in all else, need for the same held-out documents
(`tests/bench/gate_rates.py` trained them). A gate is *simulated* on documents drawn from them again, as another corpus of that kind would
have them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.metrics.gating import corrected, deviation, gained, guarded, needed_of
from model.metrics.likelihood import bits_per_byte_value
from schemas.recipe import Gate

FILE = Path(__file__).with_name("gate_items.json")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Items:
    nats: Floats
    """[seeds, documents]"""
    sizes: Floats
    """Bytes of each document."""
    langs: npt.NDArray[np.str_]

    @property
    def deviation(self) -> float:
        """Of the difference between two seeds, in bits per byte, from all of them."""
        return deviation((self.nats.sum(1) / math.log(2) / self.sizes.sum()).tolist())

    def statistics(self, seed: int, rows: npt.NDArray[np.int64], better: float = 0.0) -> Floats:
        """As an evaluation keeps them, of a model that needs so many bits per byte less."""
        nats = self.nats[seed, rows] - better * math.log(2) * self.sizes[rows]
        return np.column_stack([nats, np.zeros(len(rows)), self.sizes[rows]])


def read_items() -> Items:
    found = json.loads(FILE.read_text())
    return Items(np.array([*found["nats"].values()]), np.array(found["bytes"], np.float64), np.array(found["langs"]))


def simulate(items: Items, gates: int, seeds: int, better: float, seed: int) -> int:
    """How many of the gates promote a challenger of another seed that is better by so many deviations."""
    return sum(_promotes(items, seeds, better, np.random.default_rng([seed, number])) for number in range(gates))


def _promotes(items: Items, seeds: int, better: float, draw: np.random.Generator) -> bool:
    gate = Gate()
    champion, *others = draw.permutation(len(items.nats))[: seeds + 1].tolist()
    rows = draw.integers(len(items.sizes), size=len(items.sizes))
    values = [float(bits_per_byte_value(items.statistics(one, rows).sum(0))) for one in others]  # the first is the challenger
    gain = better * items.deviation
    a, b = items.statistics(champion, rows), items.statistics(others[0], rows, gain)
    if not gained(a, b, bits_per_byte_value, needed_of(values), gate.alpha, int(draw.integers(1 << 30))).passed:
        return False
    tests = []
    for lang in np.unique(items.langs):
        here = items.langs[rows] == lang
        tests.append(guarded(a[here], b[here], bits_per_byte_value, "lower", gate.guards.languages or 0.0, True, 0))
    return all(one.passed(gate.alpha) for one in corrected(tests))
