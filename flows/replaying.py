"""The model: to *replay* a name is to make a version in which what was rejected for one reason went through the documents step once more,
under a recipe that changed since. What was kept before is not judged again: the version holds documents of both recipes, and is
extended by the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pipelines.corpus
from flows.ensure import Outcome, Say, ensure
from flows.forgetting.obeyed import tombstones_of
from flows.ready import Ready
from flows.rejects import Wanted, browse
from flows.steps import STEPS
from pipelines.places import absolute
from pipelines.replay import REPLAYED, Rejects, replay_splits
from pipelines.tombstones import ROLE, ROOT
from schemas.artifact import Artifact
from schemas.draft import PARENT
from schemas.errors import RequestError
from schemas.fingerprint import Identity, differences, digest_json
from schemas.recipe import Recipe
from schemas.store import Store

_MAY_CHANGE = ("rules", "harmful", "decontaminate")
"""What a replay may be under another: what judges a record by itself. The rest decides ids, texts, and what an index is made of."""


def replay(store: Store, name: str, recipe: Recipe, rejects: Rejects, say: Say) -> Outcome:
    """Have the version; it is reused if the newest one is it, and resumed like any other.

    Raises `RequestError` if there is nothing to replay, or the recipe differs in more than what judges.
    """
    wanted = recipe.model_copy(update={"name": name, "corpus": recipe.corpus.model_copy(update={"incremental": True})})
    step = replace(STEPS[0], prepare=lambda recipe, store, inputs: ready_to_replay(recipe, store, rejects))
    return ensure(step, wanted, store, {}, say)


def ready_to_replay(recipe: Recipe, store: Store, rejects: Rejects) -> Ready:
    """What there is to do to replay rejects of the newest documents of the recipe's name."""
    corpus, parent = recipe.corpus, store.find(f"documents/{recipe.name}")
    obeyed = tombstones_of(store, recipe.name)
    stands_for = digest_json([rejects.reason, rejects.stage])
    inputs = {**pipelines.corpus.evaluation_digests(corpus), **({ROLE: obeyed.digest} if obeyed else {}), REPLAYED: stands_for}
    settings, engines = pipelines.corpus.identity_settings(corpus), pipelines.corpus.engines(corpus)
    identity = Identity("documents", pipelines.corpus.STEP_VERSION, settings, inputs, engines)
    before = parent.manifest.identity
    if before.inputs.get(REPLAYED) == stands_for and before.settings == settings:
        return Ready(before, why=(f"{parent.reference} is that replay",))
    _check(parent, identity)
    splits = replay_splits(parent, rejects, {source.name for source in corpus.sources})
    if not splits:
        browse(parent, Wanted(rejects.reason, None, rejects.stage), 0)  # raises, naming the reasons that there are
        raise RequestError(
            f"{parent.reference}: what was rejected as {rejects.reason} is in no file any more: the files that it was read from hold other "
            "content now, and were read again since"
        )
    places = {source.name: absolute(source.path) for source in corpus.sources} | ({ROOT: str(obeyed.path.resolve())} if obeyed else {})
    return Ready(
        replace(identity, inputs={**inputs, "sources": digest_json(splits), PARENT: parent.manifest.content_digest}),
        splits,
        places | pipelines.corpus.file_roots(corpus),
        also={PARENT: parent},
        why=(f"replays {rejects.reason} of {parent.reference}",),
    )


def _check(parent: Artifact, wanted: Identity) -> None:
    before = parent.manifest.identity
    other = [str(change) for change in differences(_fixed(before.settings), _fixed(wanted.settings), "corpus")]
    other += [f"engine{change}" for change in differences(before.engines, wanted.engines)]
    if before.version != wanted.version:
        other.append(f"version of step documents {before.version} -> {wanted.version}")
    if other:
        raise RequestError(
            f"{parent.reference} can't be replayed: only {', '.join(_MAY_CHANGE)} may differ, and {'; '.join(other[:5])}. Undo that, or "
            "run the recipe from the start"
        )


def _fixed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _MAY_CHANGE}
