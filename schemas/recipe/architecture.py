"""The model: an *architecture* is the shape of a model: a decoder, an encoder, one of each, or a recurrent one. Its *family* says of
which parts it is made.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.recipe.section import AtKey, Positive, Section

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 2, "width": 128, "heads": 2, "kv_heads": 2, "ffn": 384, "context": 128},
    "mini": {"layers": 4, "width": 256, "heads": 4, "kv_heads": 4, "ffn": 704, "context": 256},
    "small": {"layers": 12, "width": 768, "heads": 12, "kv_heads": 12, "ffn": 2048, "context": 1024},
    "medium": {"layers": 24, "width": 1024, "heads": 16, "kv_heads": 16, "ffn": 2816, "context": 1024},
    "1b": {"layers": 16, "width": 2048, "heads": 32, "kv_heads": 8, "ffn": 8192, "context": 2048},
}
"""What the names of sizes stand for; in gpt2, as many heads of keys and values as heads, and four widths for ffn. Small and medium are
GPT-2's, 1b is that of Llama 3.2, but for its context."""


ENCODER_SIZES: dict[str, dict[str, dict[str, int]]] = {
    "bert": {
        "tiny": {"layers": 2, "width": 128, "heads": 2, "ffn": 512, "context": 128},
        "mini": {"layers": 4, "width": 256, "heads": 4, "ffn": 1024, "context": 256},
        "small": {"layers": 12, "width": 768, "heads": 12, "ffn": 3072, "context": 512},
        "medium": {"layers": 24, "width": 1024, "heads": 16, "ffn": 4096, "context": 512},
        "1b": {"layers": 24, "width": 1792, "heads": 28, "ffn": 7168, "context": 512},
    },
    "modernbert": {
        "tiny": {"layers": 2, "width": 128, "heads": 2, "ffn": 256, "context": 128},
        "mini": {"layers": 4, "width": 256, "heads": 4, "ffn": 512, "context": 256},
        "small": {"layers": 22, "width": 768, "heads": 12, "ffn": 1152, "context": 1024},
        "medium": {"layers": 28, "width": 1024, "heads": 16, "ffn": 2624, "context": 1024},
        "1b": {"layers": 28, "width": 1792, "heads": 28, "ffn": 3840, "context": 2048},
    },
}
"""The same for encoders: small and medium are BERT's and ModernBERT's base and large, but for ModernBERT's context."""


class Decoder(Section):
    """A decoder: llama has RMSNorm, half-split RoPE, SwiGLU, grouped-query attention; gpt2 LayerNorm, learned positions, GELU, biases."""

    LATER: ClassVar[frozenset[str]] = frozenset({"family", "head_width", "qk_norm", "size"})
    OBJECTIVES: ClassVar[tuple[str, ...]] = ("next_token",)
    """Names of those that it can be trained by, its own first."""

    size: Literal["tiny", "mini", "small", "medium", "1b"] | None = None
    """Stands for the numbers below that go with it, of which others may be given beside it."""
    family: Literal["llama", "gpt2"] = "llama"
    layers: Positive = 4
    width: Positive = 256
    heads: Positive = 4
    kv_heads: Positive = 4
    """Of keys and values, which groups of heads share; gpt2 has as many as heads."""
    head_width: Positive | None = None
    """Null: width / heads."""
    qk_norm: bool = False
    """Norm queries and keys, head by head, before they turn (llama only; such a model is a Qwen3 to Hugging Face)."""
    ffn: Positive = 688
    context: Positive = 128
    rope_theta: float = 10_000.0
    """Base of the rotation's wavelengths (llama only)."""
    norm_eps: float = 1e-5
    tie_embeddings: bool = True

    @model_validator(mode="before")
    @classmethod
    def _size_stands_for_numbers(cls, value: Any) -> Any:
        """The numbers decide, not the name: it is gone afterwards."""
        if not isinstance(value, dict) or value.get("size") not in SIZES:
            return value
        numbers = SIZES[value["size"]]
        if value.get("family") == "gpt2":
            numbers = numbers | {"kv_heads": value.get("heads", numbers["heads"]), "ffn": 4 * value.get("width", numbers["width"])}
        return {**numbers, **value, "size": None}

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.head_width or self.width // self.heads

    @model_validator(mode="after")
    def _fits_together(self) -> Decoder:
        if (self.head_width is None and self.width % self.heads) or self.heads % self.kv_heads:
            raise ValueError("width must be a multiple of heads, and heads of kv_heads")
        if self.family == "gpt2":
            own = {"kv_heads": self.heads, "head_width": None, "qk_norm": False, "rope_theta": 10_000.0}
            for key, only in own.items():
                if getattr(self, key) != only:
                    raise ValueError(f"{key} {getattr(self, key)}: gpt2 has no such option; " + (f"set {only}" if only else "leave it out"))
        elif self.head_size % 2:
            raise ValueError(f"heads of width {self.head_size}: rotation turns pairs, so it must be even")
        return self


class Encoder(Section):
    """An encoder, which sees a text whole: bert has norms behind its layers, learned positions, token types and GELU; modernbert norms
    before them, half-split RoPE and GeGLU, no biases, and but for every third layer attention to what is near."""

    LATER: ClassVar[frozenset[str]] = frozenset({"size", "task"})
    OBJECTIVES: ClassVar[tuple[str, ...]] = ("masked_tokens",)

    size: Literal["tiny", "mini", "small", "medium", "1b"] | None = None
    """Stands for the numbers below that go with it, of which others may be given beside it."""
    family: Literal["bert", "modernbert"]
    layers: Positive = 4
    width: Positive = 256
    heads: Positive = 4
    ffn: Positive = 1024
    context: Positive = 128
    rope_theta: float = 160_000.0
    """Base of the rotation's wavelengths in layers that see all (modernbert only)."""
    local_rope_theta: float = 10_000.0
    """The same in layers that see what is near (modernbert only)."""
    local_window: Annotated[int, Field(ge=2, multiple_of=2)] = 128
    """How far such layers see: half of it to each side (modernbert only)."""
    global_every: Positive = 3
    """The first layer sees all, and every so many from it on (modernbert only)."""
    norm_eps: float = 1e-5
    """Unless given, 1e-12 for bert."""
    task: Literal["masked_tokens", "next_sentence", "none"] | None = None
    """What heads it has, as its checkpoint says: to score hidden tokens, that and whether a sentence follows, or none. Not for recipes: the
    objective tells."""

    @model_validator(mode="before")
    @classmethod
    def _size_and_family_stand_for_numbers(cls, value: Any) -> Any:
        """The numbers decide, not the name: it is gone afterwards."""
        if not isinstance(value, dict):
            return value
        own = {"norm_eps": 1e-12} if value.get("family") == "bert" else {}
        sizes = ENCODER_SIZES.get(value.get("family", ""), {})
        if value.get("size") in sizes:
            return {**own, **sizes[value["size"]], **value, "size": None}
        return {**own, **value}

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @model_validator(mode="after")
    def _fits_together(self) -> Encoder:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if self.family == "bert":
            for key in ("rope_theta", "local_rope_theta", "local_window", "global_every"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise AtKey((key,), "bert has no such option: leave it out")
        elif self.head_size % 2:
            raise ValueError(f"heads of width {self.head_size}: rotation turns pairs, so it must be even")
        elif self.task == "next_sentence":
            raise AtKey(("task",), "modernbert has no head for next sentences")
        return self


T5_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 2, "width": 128, "heads": 2, "ffn": 384, "context": 128},
    "mini": {"layers": 4, "width": 256, "heads": 4, "ffn": 704, "context": 256},
    "small": {"layers": 8, "width": 512, "heads": 6, "head_width": 64, "ffn": 1024, "context": 512},
    "medium": {"layers": 12, "width": 768, "heads": 12, "ffn": 2048, "context": 512},
    "1b": {"layers": 24, "width": 1024, "heads": 16, "ffn": 2816, "context": 512},
}
"""Small, medium and 1b are small, base and large of T5 v1.1."""


class EncoderDecoder(Section):
    """An encoder that reads, and a decoder that writes: t5 is T5 v1.1, with RMSNorm, relative position biases and gated GELU, no biases."""

    LATER: ClassVar[frozenset[str]] = frozenset({"size"})
    OBJECTIVES: ClassVar[tuple[str, ...]] = ("span_corruption", "denoising")

    size: Literal["tiny", "mini", "small", "medium", "1b"] | None = None
    """Stands for the numbers below that go with it, of which others may be given beside it."""
    family: Literal["t5"]
    layers: Positive = 4
    """Of the encoder, and as many of the decoder."""
    width: Positive = 256
    heads: Positive = 4
    head_width: Positive | None = None
    """Null: width / heads."""
    ffn: Positive = 688
    context: Annotated[int, Field(ge=3)] = 128
    """Tokens that the encoder reads in training; relative positions know no limit, so a prompt may be longer."""
    norm_eps: float = 1e-6
    tie_embeddings: bool = False
    """The head is the embedding, and what goes into it is scaled by 1/sqrt(width), as in T5 1.0."""

    @model_validator(mode="before")
    @classmethod
    def _size_stands_for_numbers(cls, value: Any) -> Any:
        """The numbers decide, not the name: it is gone afterwards."""
        if not isinstance(value, dict) or value.get("size") not in T5_SIZES:
            return value
        return {**T5_SIZES[value["size"]], **value, "size": None}

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.head_width or self.width // self.heads

    @model_validator(mode="after")
    def _fits_together(self) -> EncoderDecoder:
        if self.head_width is None and self.width % self.heads:
            raise ValueError("width must be a multiple of heads, or give head_width")
        return self


LSTM_SIZES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 2, "width": 160, "context": 128},
    "mini": {"layers": 2, "width": 448, "context": 256},
    "small": {"layers": 3, "width": 1888, "context": 1024},
}
"""About as many weights in layers as a decoder of that name has."""


class Recurrent(Section):
    """A recurrent language model, to compare decoders with: lstm has layers of LSTM between the embedding and the head."""

    LATER: ClassVar[frozenset[str]] = frozenset({"size"})
    OBJECTIVES: ClassVar[tuple[str, ...]] = ("next_token",)

    size: Literal["tiny", "mini", "small"] | None = None
    """Stands for the numbers below that go with it, of which others may be given beside it."""
    family: Literal["lstm"]
    layers: Positive = 2
    width: Positive = 256
    """Of the embedding, and of each layer's state."""
    context: Positive = 128
    """Tokens that it reads from an empty state on in training and evaluation; a text that it writes may be longer."""
    tie_embeddings: bool = True

    @model_validator(mode="before")
    @classmethod
    def _size_stands_for_numbers(cls, value: Any) -> Any:
        """The numbers decide, not the name: it is gone afterwards."""
        if not isinstance(value, dict) or value.get("size") not in LSTM_SIZES:
            return value
        return {**LSTM_SIZES[value["size"]], **value, "size": None}


_KINDS = {
    "llama": "decoder", "gpt2": "decoder", "bert": "encoder", "modernbert": "encoder", "t5": "encoder_decoder", "lstm": "recurrent",
}  # fmt: skip


def _kind(value: Any) -> str | None:
    family = value.get("family", "llama") if isinstance(value, dict) else getattr(value, "family", "llama")
    return _KINDS.get(family) if isinstance(family, str) else None


Architecture = Annotated[
    Annotated[Decoder, Tag("decoder")]
    | Annotated[Encoder, Tag("encoder")]
    | Annotated[EncoderDecoder, Tag("encoder_decoder")]
    | Annotated[Recurrent, Tag("recurrent")],
    Discriminator(
        _kind, custom_error_type="family", custom_error_message=f"no such family: they are {', '.join(_KINDS)}, llama if it is left out"
    ),
]
"""Which of them a recipe means, its family says; a decoder has a default."""
