"""The model: a *family* of models fixes which special tokens a tokenizer has, by *role*, and the *template* that puts them
around a text when a caller asks for special tokens.

    decoder   no template: the batcher puts `bos` and `eos` around documents, and tokens are stored without them
    bert      [CLS] A [SEP], [CLS] A [SEP] B [SEP]; the second text has type id 1 (Devlin et al. 2019, arXiv:1810.04805)
    t5        A </s>, A </s> B </s>; *sentinels* <extra_id_0> ... stand for cut-out spans (Raffel et al. 2020, arXiv:1910.10683)

The batcher frames every document by `bos` and `eos`, and fills up with `pad`. A family that has no such token lends another
role's: `bos` is `cls`, or else `eos`; `eos` is `sep`; `pad` is `eos`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.errors import RequestError
from schemas.recipe import Tokenizer as Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.processors import PostProcessor

ROLES = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
"""Roles that have a meaning here and in `transformers`; other special tokens go by names of their own."""

_TOKENS: Mapping[str, Mapping[str, str]] = {
    "decoder": {"bos": "<|bos|>", "eos": "<|eos|>", "pad": "<|pad|>"},
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "t5": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
}
"""In the order of their ids."""

_FAMILY = {"byte_bpe": "decoder", "wordpiece": "bert", "unigram": "t5"}
_T5_SENTINELS = 100
_LENT: Mapping[str, tuple[str, ...]] = {"eos": ("sep",), "bos": ("cls", "eos"), "pad": ("eos",)}


def family_of(settings: Settings) -> str:
    """The family that the recipe names, or the one that its kind of tokenizer was made for."""
    return settings.family or _FAMILY[settings.kind]


def special_tokens(settings: Settings) -> dict[str, str]:
    """Special token by role or name, in the order of their ids, sentinels aside."""
    family, given = family_of(settings), settings.special_tokens
    if not isinstance(given, Mapping):
        given = {(ROLES[i] if i < 3 else token): token for i, token in enumerate(given)}
    roles = {**_TOKENS[family], **({} if settings.kind == "byte_bpe" else {"unk": _TOKENS[family].get("unk", "<|unk|>")})}
    named = {role: given.get(role, token) for role, token in roles.items()}
    named |= {name: given[name] for name in sorted(given.keys() - named.keys())}
    twice = sorted({token for token in named.values() if list(named.values()).count(token) > 1})
    if twice:
        raise RequestError(f"tokenizer.special_tokens: {twice[0]!r} has two roles; give each role a token of its own")
    return named


def sentinels(settings: Settings) -> list[str]:
    """T5's sentinels, in the order of their ids: the first one cut out has the last id, as in T5's own vocabulary."""
    wanted = settings.sentinels
    count = wanted if wanted is not None else _T5_SENTINELS if family_of(settings) == "t5" else 0
    return [f"<extra_id_{number}>" for number in reversed(range(count))]


def template(family: str, tokens: Mapping[str, str], ids: Mapping[str, int]) -> PostProcessor | None:
    """What puts special tokens around texts, given token and id by role; None for decoders."""
    from tokenizers.processors import TemplateProcessing

    if family == "bert":
        cls, sep = tokens["cls"], tokens["sep"]
        return TemplateProcessing(
            single=f"{cls}:0 $A:0 {sep}:0",
            pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
            special_tokens=[(cls, ids["cls"]), (sep, ids["sep"])],
        )
    if family == "t5":
        eos = tokens["eos"]
        return TemplateProcessing(single=f"$A {eos}", pair=f"$A {eos} $B:0 {eos}:0", special_tokens=[(eos, ids["eos"])])
    return None


def lend_roles(ids: Mapping[str, int]) -> dict[str, int]:
    """Ids by role or name, with `bos`, `eos` and `pad` lent by other roles where the tokenizer has none.

    Raises `RequestError` if it has nothing that could end a document.
    """
    found = dict(ids)
    for role, lenders in _LENT.items():
        lender = next((name for name in lenders if name in found), None)
        if role not in found and lender is not None:
            found[role] = found[lender]
    missing = [role for role in _LENT if role not in found]
    if missing:
        raise RequestError(
            f"the tokenizer has no special token that serves as {missing[0]}; name one: tokenizer.special_tokens.{missing[0]}"
        )
    return found


def ids_of(tokenizer: Tokenizer, tokens: Mapping[str, str]) -> dict[str, int]:
    """Id by role, given token by role; every one of them is in the vocabulary."""
    vocabulary = tokenizer.get_vocab()
    return {role: vocabulary[token] for role, token in tokens.items()}


def add_special_tokens(tokenizer: Tokenizer, family: str, tokens: Mapping[str, str], more: list[str]) -> None:
    """Declare special tokens that are in the vocabulary, append `more` behind it, and set the family's template."""
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in [*tokens.values(), *more]])
    processor = template(family, tokens, ids_of(tokenizer, tokens))
    if processor is not None:
        tokenizer.post_processor = processor
