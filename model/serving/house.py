"""The model: a *version* is a model artifact that was loaded and tried. A *house* serves one version of a *name*. It looks from time
to time what the name stands for now; when that is another artifact, it is loaded beside, and takes the place of the one before, which
ends when what it had taken on is answered. One that can't be loaded is refused, once, and the one before stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from model.checkpoint import Mismatch, load_model
from model.encoder import EncoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.generate.prompts import Prompts
from model.generate.rows import next_logits
from model.hf.export import framing_bos
from model.serving.chat import Chat
from model.serving.embedding import Embedder
from model.serving.engine import Counts, Engine
from model.serving.slots import slots_of
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Limits:
    """What is accepted."""

    slots: int = 32
    """Texts that are written at a time."""
    waiting: int = 256
    """Texts that may wait for a slot."""
    tokens: int = 2048
    """Tokens that a text may be asked for."""
    context: int = 4096
    """Tokens of prompt and text together, of an encoder-decoder of each; a model's own limit counts too."""
    prompts: int = 256
    """Prompts, or texts to embed, of a request."""
    body: int = 1 << 20
    """Bytes of a request."""
    seconds: float = 300.0
    """Until a request that is not answered is given up."""


class Version:
    """See the module. A decoder or LSTM has an `engine`, an encoder an `embedder`, an encoder-decoder both."""

    def __init__(self, artifact: Artifact, limits: Limits, counts: Counts) -> None:
        """Raises `RequestError` or `Damaged` for an artifact that can't be served."""
        if lost := artifact.missing():
            raise Damaged(f"{artifact.reference}: {lost[0]}")
        self.artifact, folder = artifact, artifact.path
        model, config = load_model(folder)
        self._prompts = Prompts(folder, config)
        self.tokenizer, bos, ends = self._prompts.tokenizer, self._prompts.bos, self._prompts.eos
        self.vocab_size, self.created = model.vocab_size, int((folder / "manifest.json").stat().st_mtime)
        self.engine: Engine | None = None
        self.embedder: Embedder | None = None
        self.worker: ThreadPoolExecutor | None = None
        """The thread that owns an embedder; it ends when nobody holds the version any more."""
        self.reads_apart = isinstance(model, EncoderDecoderModel)
        """Whether an encoder reads prompts, so that texts leave them their room."""
        end = ends[0] if ends else None
        with torch.no_grad():
            if isinstance(model, EncoderModel):
                self.context = model.config.context
                self.embedder = Embedder(model, self.tokenizer, self._prompts.framed, bos, end)
                tried = self.embedder.vectors([[0]])
            elif isinstance(model, EncoderDecoderModel):
                self.context = limits.context
                self.embedder = Embedder(model, self.tokenizer, self._prompts.framed, None, end)
                self.chat = Chat(folder, None, None, house=False)
                tried = slots_of(model, self._prompts.start).read(ends).logits
            else:
                self.context = min(model.limit or limits.context, limits.context)
                self.chat = Chat(folder, framing_bos(self.tokenizer, bos) if self._prompts.framed else bos, end)
                tried = next_logits(model, torch.tensor([[bos or 0]]), model.caches(1, 1))
        if not bool(tried.isfinite().all()):
            raise Mismatch(f"{artifact.reference}: what it computes is not finite: its weights are broken")
        if self.embedder is not None:
            self.worker = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        if not isinstance(model, EncoderModel):
            start = self._prompts.start
            self.engine = Engine(model, self.tokenizer, frozenset(ends), limits.slots, limits.waiting, counts, start)

    def room(self, prompt: int) -> int:
        """Tokens that may follow a prompt of so many; none if that is too long itself."""
        if self.reads_apart and prompt <= self.context:
            return self.context
        return max(self.context - prompt, 0)

    def ids(self, prompt: str) -> list[int]:
        """A prompt as `gristmill generate` has the model read it; empty if it is, and the model has no bos to begin with."""
        return self._prompts.ids(prompt)

    @property
    def fingerprint(self) -> str:
        """Tells versions apart by what is in them."""
        return f"fp_{self.artifact.manifest.content_digest[:12]}"

    def close(self) -> None:
        """Take nothing more on, and end when what there is has ended."""
        if self.engine is not None:
            self.engine.close()


@dataclass
class Totals:
    """What was counted since the start, over all versions."""

    rows: Counts = field(default_factory=Counts)
    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    """By route and status; 499 is a client that went away."""
    texts: int = 0
    """That were embedded."""
    swaps: int = 0
    refused_versions: int = 0


class House:
    """See the module."""

    def __init__(self, resolve: Callable[[], Artifact], limits: Limits, say: Say, alias: str | None = None) -> None:
        """`alias`: what requests may call the model whichever it is. Raises as `resolve` and `Version` do."""
        self._alias = [alias] if alias else []
        self._resolve, self.limits, self._say = resolve, limits, say
        self.totals = Totals()
        self.current = Version(resolve(), limits, self.totals.rows)
        self._former: list[Engine] = []
        """Of versions before, which finish what they had begun."""
        self.closing = False
        self.embedding = 0
        """Texts that wait to be embedded."""
        self._refused: Path | None = None
        self._trouble = ""

    def names(self) -> list[str]:
        """What a request may call the model: by its version, too."""
        artifact = self.current.artifact
        return [*self._alias, artifact.name, artifact.reference, f"{artifact.kind}/{artifact.name}"]

    def look(self) -> None:
        """Take in what the name stands for now, if that is another artifact. Called by one thread at a time."""
        self._former = [engine for engine in self._former if not engine.join(0)]
        try:
            found = self._resolve()
        except (RequestError, Damaged, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._say(f"{self.current.artifact.reference} stays: {error}")
            return
        self._trouble = ""
        if found.path in (self.current.artifact.path, self._refused):
            return
        began = time.monotonic()
        try:
            version = Version(found, self.limits, self.totals.rows)
        except Exception as error:  # whatever is wrong with a new version: the one before goes on
            self._refused = found.path
            self.totals.refused_versions += 1
            self._say(f"{found.reference} is refused, {self.current.artifact.reference} stays: {type(error).__name__}: {error}")
            return
        before = self.current
        if before.engine is not None:
            self._former = [*self._former, before.engine]
        self.current = version  # not before: who closes finds each engine in one place or both
        self.totals.swaps += 1
        if self.closing:
            version.close()
        before.close()
        self._say(f"{found.reference} takes the place of {before.artifact.reference}, loaded in {time.monotonic() - began:.1f} s")

    async def follow(self, every: float) -> None:
        """Look, again and again."""
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(self.look)

    def close(self, now: bool = False) -> None:
        """Take nothing more on; `now` ends what was begun, too."""
        self.closing = True
        for engine in self._engines():
            engine.close(now)

    def wait(self) -> None:
        """Return when all engines have ended: a thread that computes while Python ends would abort it."""
        for engine in self._engines():
            engine.join()

    def _engines(self) -> list[Engine]:
        return [engine for engine in (self.current.engine, *self._former) if engine is not None]
