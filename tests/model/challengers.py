"""The model: text that came in two halves, as tokens of the first (`before`) and of both (`now`), and drafts of pretrainings on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.train import main
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from tests.model.conftest import Document, commit_tokens, small_documents


@dataclass(frozen=True)
class Halves:
    """Tokens of all that is there now begin with the shard that the tokens of before are."""

    tokenizer: Artifact
    before: Artifact
    now: Artifact
    old: list[Document]
    new: list[Document]

    @classmethod
    def commit(cls, folder: Path, tokenizer: Artifact) -> Halves:
        documents = list({text: (lang, subset, text) for lang, subset, text in small_documents()}.values())  # some stand there twice
        documents = documents[: len(documents) // 2 * 2]
        before = commit_tokens(folder / "before", documents[0::2], tokenizer, shards=1)
        return cls(tokenizer, before, commit_tokens(folder / "now", documents, tokenizer), documents[0::2], documents[1::2])

    def draft(self, folder: Path, tokens: Artifact, settings: dict[str, Any], ranks: int = 1, **more: Artifact) -> Draft:
        """A draft of the pretrain step, ready to run."""
        inputs = {"tokens": tokens, "tokenizer": self.tokenizer, **more}
        digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
        draft = Draft.start(folder, "model", "small", Identity("pretrain", 1, settings, digests, {}))
        run = {"ranks": ranks, "threads_per_rank": 1}
        draft.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run=run)
        return draft

    def champion(self, folder: Path, **settings: Any) -> Artifact:
        """A model of the first half."""
        draft = self.draft(folder, self.before, settings)
        assert main([str(draft.path)]) == 0
        return draft.commit(["pretrain"])

    def challenger(self, folder: Path, champion: Artifact, ranks: int = 1, **settings: Any) -> Draft:
        """A draft that goes on from a model."""
        return self.draft(folder, self.now, settings, ranks, start=champion, before=self.before)
