"""The model: *sentinels* are the tokens `<extra_id_0>` and on of a tokenizer: each stands in a text for a span that was cut out of it."""

from __future__ import annotations

from tokenizers import Tokenizer

from schemas.artifact import Artifact


def sentinels_of(tokenizer: Artifact) -> tuple[int, ...]:
    """The ids of a tokenizer artifact's sentinels, in the order in which they are used."""
    ids = Tokenizer.from_file(str(tokenizer.paths("tokenizer")[0])).get_vocab()
    found: list[int] = []
    while (number := ids.get(f"<extra_id_{len(found)}>")) is not None:
        found.append(number)
    return tuple(found)
