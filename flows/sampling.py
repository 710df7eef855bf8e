"""The model: what *sampling* comes to in a tokens artifact: of each source and language the tokens of the training subset, and how many
an epoch reads of them."""

from __future__ import annotations

from schemas.artifact import Artifact


def sampled(tokens: Artifact) -> dict[tuple[str, str], tuple[int, int]]:
    """By source and language, (tokens, tokens an epoch reads); nothing if it reads each document once."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for part in tokens.manifest.parts:
        for source, languages in part.facts.get("train", {}).items():
            for lang, count in languages.items():
                all_tokens, read = found.get((source, lang), (0, 0))
                found[source, lang] = all_tokens + count, read + part.facts["epoch"][source][lang]
    return dict(sorted(found.items())) if any(count != read for count, read in found.values()) else {}
