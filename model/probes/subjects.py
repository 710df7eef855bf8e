"""The model: a *subject* is a model that has read one text, with the *outcomes* that it is to choose from: a decoder's are the next tokens,
an encoder's what stands at the text's mask, a classifier's its labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.finetune.heads import HeadedModel
from model.finetune.reading import Special, reading_of
from model.finetune.saved import has_head, load_headed
from model.probes.layers import lens
from model.probes.reading import Reader
from schemas import recipe


@dataclass(frozen=True)
class Subject:
    """See the module."""

    model: DecoderModel | EncoderModel | HeadedModel
    ids: tuple[int, ...]
    """The text as the model reads it."""
    logits: Callable[[Tensor], Tensor]
    """Ids, int64 [n, time] -> of each outcome, float [n, outcomes]."""
    outcome: Callable[[int], str]
    """What an outcome is called."""
    number: Callable[[str], int]
    """Of an outcome that is told by its text. Raises ValueError if there is none."""
    token: Callable[[int], str]
    calm: int
    """A token that says nothing."""
    special: frozenset[int]
    """Places of tokens that frame the text."""
    place: int | None
    """Of the token at which, or behind which, the outcome stands; None if it is about the whole text."""
    next_token: bool
    lens: Callable[[Tensor], Tensor] | None
    """States -> log-probabilities of tokens, if the model can tell them."""


def subject_of(folder: Path, text: str) -> Subject:
    """The model of a folder, and a text. Raises `Mismatch` for a model that is not as it should be, ValueError for a text that does not
    suit."""
    return _headed(folder, text) if has_head(folder) else _pretrained(folder, text)


def _pretrained(folder: Path, text: str) -> Subject:
    reader = Reader(folder)
    model = reader.model
    if not isinstance(model, DecoderModel | EncoderModel):
        raise ValueError(f"is {reader.name}, which has no attention to look at: this needs a decoder or an encoder")
    if isinstance(model, EncoderModel) and model.head is None:
        raise ValueError("has no head for hidden tokens: it was imported without one")
    ids, causal = reader.ids(text), isinstance(model, DecoderModel)
    place = len(ids) - 1 if causal else _mask_place(reader, ids)

    def number(target: str) -> int:
        tokens = reader.tokens(target)
        if not tokens:
            raise ValueError(f"target {target!r}: the tokenizer makes no token of it")
        return tokens[0]

    return Subject(
        model=model,
        ids=tuple(ids),
        logits=lambda read: model(read)[:, place],
        outcome=reader.written,
        number=number,
        token=reader.written,
        calm=reader.calm_token(),
        special=frozenset(reader.special(ids)),
        place=place,
        next_token=causal,
        lens=lambda states: lens(model, states),
    )


def _mask_place(reader: Reader, ids: list[int]) -> int:
    written, number = reader.mask()
    places = [place for place, token in enumerate(ids) if token == number]
    if len(places) != 1:
        raise ValueError(f"the text has {len(places)} masks: write {written} once, where a token is wanted")
    return places[0]


def _headed(folder: Path, text: str) -> Subject:
    model, config = load_headed(folder)
    if model.purpose != "sequence":
        raise ValueError(f"is a {config['architectures'][0]}: of models with heads, only those that label a whole text are explained")
    if isinstance(model.architecture, recipe.EncoderDecoder):
        raise ValueError("is an encoder-decoder, whose two sides have attention of their own: this needs a decoder or an encoder")
    reading = reading_of(folder, config, model.architecture.context)
    [read] = reading.read([text])
    tokenizer, special = reading.tokenizer, Special.of(config)
    types = torch.tensor([read.type_ids])

    def number(target: str) -> int:
        if target not in model.labels:
            raise ValueError(f"target {target!r} is none of its labels: {', '.join(model.labels)}")
        return model.labels.index(target)

    def token(one: int) -> str:
        told: str = tokenizer.decode([one], skip_special_tokens=False)
        return told if told and "\ufffd" not in told else str(tokenizer.id_to_token(one))

    mask = config.get("mask_token_id")
    return Subject(
        model=model,
        ids=tuple(read.ids),
        logits=lambda ids: model(ids, types.expand(len(ids), -1), torch.full((len(ids),), ids.shape[1])),
        outcome=lambda label: model.labels[label],
        number=number,
        token=token,
        calm=next(
            one for one in (mask, special.eos if isinstance(model.architecture, recipe.Decoder) else None, special.pad) if one is not None
        ),
        special=frozenset(place for place, mark in enumerate(read.special_tokens_mask) if mark),
        place=None,
        next_token=False,
        lens=None,
    )
