"""The model: the *table* of what is deployed. `gristmill serve` registers its rows for each recipe; infra/prefect.yaml holds the same
rows for work pools.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import EntrypointType, RunnerDeployment

from flows.deployed import flows
from schemas.recipe import Recipe

TAG = "gristmill"
"""Of all that is deployed."""
MACHINE = "machine:"
"""In front of the name of the machine that serves a deployment, in a tag."""
RETRAIN = "retrain"


@dataclass(frozen=True)
class Row:
    """A flow that is deployed."""

    flow: Flow[..., Any]
    section: str | None = None
    """The recipe section without which it has nothing to do."""
    of_store: bool = False
    """It is about a store, and no recipe."""

    @property
    def name(self) -> str:
        return str(self.flow.name)

    @property
    def entrypoint(self) -> str:
        return f"{self.flow.fn.__module__}.{self.flow.fn.__name__}"

    @property
    def about(self) -> str:
        """The first paragraph of its docstring; parameters have their own texts."""
        return (self.flow.fn.__doc__ or "").partition("\n\n")[0]

    def parameters(self, recipe: str, store: str) -> dict[str, str]:
        return {"store": store} if self.of_store else {"recipe": recipe, "store": store}

    def tags(self, recipe: str) -> list[str]:
        return [TAG, recipe, self.name]


TABLE = (
    Row(flows.ingest),
    Row(flows.build),
    Row(flows.pretrain, "pretrain"),
    Row(flows.finetune, "finetune"),
    Row(flows.evaluate, "evaluate"),
    Row(flows.retrain, "retrain"),
    Row(flows.report),
    Row(flows.maintenance, of_store=True),
)

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
"""Runs of a deployment queue."""


def deployments(recipe: Recipe, path: Path, store: Path, schedules: Mapping[str, str]) -> Iterator[RunnerDeployment]:
    """The deployments of a recipe file, with cron schedules by flow."""
    for row in TABLE:
        if row.section is None or getattr(recipe, row.section) is not None:
            yield RunnerDeployment.from_flow(
                row.flow,
                name=recipe.name,
                parameters=row.parameters(str(path.resolve()), str(store.resolve())),
                tags=[*row.tags(recipe.name), MACHINE + os.uname().nodename],
                description=row.about,
                version=version("gristmill"),
                cron=schedules.get(row.name),
                concurrency_limit=ONE_AT_A_TIME,
                entrypoint_type=EntrypointType.MODULE_PATH,
            )
