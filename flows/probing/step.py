"""The model: a *probe* is one step without a recipe, of which evaluation/MODEL-probe-KIND is made: `results.json` has its result, and in
`details`, by task, what is for reading. What decides it are its settings, and the contents of the model and of what it reads beside it:

    memorisation    the tokens that the model was trained on, or others
    exposure        what was planted, of a folder of canaries
    bias            templates, shipped ones or a file
    harm            the lists of terms and the beginnings that ship
    cost            `run.json` beside the model
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from importlib.resources import files

from tokenizers import Tokenizer

from flows.ensure import Outcome, Say
from flows.lineage import made_from
from flows.probing.asked import Asked, Bias, Cost, Harm
from flows.probing.kept import RUN, run_digest
from flows.ready import Ready
from flows.single import ensure_single
from flows.steps import Step
from model.examples.opened import files_digest
from model.versions import engines
from pipelines.harmful.lexicon import own_lists_digest
from pipelines.places import absolute
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.recipe import Recipe, Run
from schemas.store import Store

VERSION = 1
STAGE = "probe"
MODEL_ROLE, TOKENS_ROLE = "model", "tokens"
PLANTED, TEMPLATES = "planted", "templates"
"""Files that a probe reads."""
PLANTED_FILE = "planted.json"
"""Of a folder of canaries."""


def probe_model(store: Store, model: Artifact, asked: Asked, run: Run, say: Say, tokens: Artifact | None = None, file: str = "") -> Outcome:
    """Have the evaluation of a model that `asked` stands for. `tokens` are searched for what a model wrote; `file` has canaries, or
    templates of one's own. Raises `RequestError` for what is no model, or a file that can't be read; `ChildFailed`."""
    if model.kind != "model":
        raise RequestError(f"{model.reference}: is no model, and only models are probed")
    role = {"exposure": PLANTED, "bias": TEMPLATES}.get(asked.probe, "")
    roots = {role: absolute(file)} if file else {}
    inputs = {MODEL_ROLE: model, **({TOKENS_ROLE: tokens} if tokens is not None else {})}

    def prepare(recipe: Recipe, store: Store, inputs: Mapping[str, Artifact]) -> Ready:
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        digests |= {role: files_digest(path, role) for role, path in roots.items()} or _shipped(asked)
        if isinstance(asked, Cost):
            digests[RUN] = run_digest(model)
        return Ready(Identity(f"probe-{asked.probe}", VERSION, asked.as_json(), digests, engines()), roots=roots)

    command = lambda draft, run: [sys.executable, "-m", "flows.probing.work", str(draft)]  # noqa: E731
    step = Step(f"probe-{asked.probe}", "evaluation", "probe", tuple(inputs), (STAGE,), prepare, command)
    return ensure_single(step, f"{model.name}-probe-{asked.called}", run, store, inputs, say)


def _shipped(asked: Asked) -> dict[str, str]:
    """Digests of what ships and a probe asks with."""
    ours = files("model.probes.templates")
    if isinstance(asked, Harm):
        return {"lists": own_lists_digest(), "beginnings": hashlib.sha256(ours.joinpath("prompts.yaml").read_bytes()).hexdigest()}
    if isinstance(asked, Bias):
        return {TEMPLATES: hashlib.sha256(ours.joinpath(f"{asked.lang}.yaml").read_bytes()).hexdigest()}
    return {}


def training_tokens(store: Store, model: Artifact, named: str | None) -> Artifact:
    """The tokens that a model was trained on, or those that were named. Raises `RequestError` if they can't be told, or are of another
    tokenizer than the model's."""
    found = store.find(named if "/" in named else f"tokens/{named}") if named else made_from(store, model, "tokens")
    if found is None:
        raise RequestError(f"{model.reference}: the tokens that it was trained on are not in the store: name them by --tokens")
    tokenizer = made_from(store, found, "tokenizer")
    if tokenizer is not None and _vocabulary(tokenizer) != _vocabulary(model):
        raise RequestError(f"{found.reference}: was made by {tokenizer.reference}, whose ids are not those of {model.reference}")
    return found


def _vocabulary(artifact: Artifact) -> dict[str, int]:
    found: dict[str, int] = Tokenizer.from_file(str(artifact.paths("tokenizer")[0])).get_vocab()
    return found
