"""The model: every layer of ours against the plain formula of its paper, in values and in *gradients*, and its gradients against finite
differences, all in float64; what one document may not know of another has a gradient of exactly zero.

That of the cross entropy in chunks stands in test_cross_entropy.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from model.decoder import DecoderModel
from model.layers import Attention, Gelu, RMSNorm, SwiGLU, Turn, document_mask, fusible_attention, padding_mask, rotary_table, rotate
from model.objectives.next_token import NextTokenOfDocument
from schemas import recipe

TIME, WIDTH = 6, 8
DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, -1], [0, 1, 1, 1, 1, 1]])
PADDING = torch.tensor([0, 4])
MASKS = {"causal": None, "documents": document_mask(DOCUMENTS), "padding": padding_mask(PADDING, 0, TIME)}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=[False, True], ids=["eager", "as compiled"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Which of attention's two ways is taken."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: request.param)
    return bool(request.param)


def some_turn() -> Turn:
    cos, sin = rotary_table(4, TIME, 100.0)
    return cos.double(), sin.double()


def drawn_anew(layer: nn.Module) -> nn.Module:
    """With weights that nothing singles out: no ones, no zeros."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.6)
    return layer


def exact(layer: nn.Module, x: Tensor, *more: Any) -> bool:
    """Whether gradients of a layer by its input and its weights are those of finite differences (in drawn directions, for speed)."""
    names = [name for name, _ in layer.named_parameters()]

    def of(x: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, weights, strict=True)), (x, *more))  # type: ignore[no-any-return]

    inputs = (x.requires_grad_(), *(p.detach().requires_grad_() for p in layer.parameters()))
    return torch.autograd.gradcheck(of, inputs, fast_mode=True)


@pytest.mark.parametrize(
    "make", [lambda: RMSNorm(WIDTH, 1e-5), lambda: SwiGLU(WIDTH, 5), lambda: Gelu(WIDTH, 5)], ids=["norm", "swiglu", "gelu"]
)
def test_gradients_of_layers_are_exact(make: Callable[[], nn.Module]) -> None:
    assert exact(drawn_anew(make()), torch.randn(2, 3, WIDTH))


def test_gradients_of_the_rotation_are_exact() -> None:
    cos, sin = some_turn()
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), torch.randn(2, 1, TIME, 4, requires_grad=True))


@pytest.mark.parametrize("kv_heads", [2, 1])
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_of_attention_written_out_are_exact(mask: str, kv_heads: int) -> None:
    q, k, v = (torch.randn(2, heads, TIME, 4, requires_grad=True) for heads in (2, kv_heads, kv_heads))
    assert torch.autograd.gradcheck(lambda q, k, v: fusible_attention(q, k, v, MASKS[mask]), (q, k, v))


SHAPES: dict[str, dict[str, Any]] = {"plain": {}, "grouped": {"kv_heads": 1}, "biases": {"bias": True}, "normed": {"qk_norm_eps": 1e-5}}


def attention(**changes: Any) -> Attention:
    layer = drawn_anew(Attention(**{"width": WIDTH, "heads": 2, "kv_heads": 2, "head_width": 4, **changes}))
    assert isinstance(layer, Attention)
    return layer


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_attention_are_exact(shape: str, mask: str, compiled: bool) -> None:
    assert exact(attention(**SHAPES[shape]), torch.randn(2, TIME, WIDTH), some_turn(), None, MASKS[mask])


def reference(layer: Attention, x: Tensor, turn: Turn, mask: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V, a row, a head and a query at a time; positions turn pairs as complex numbers."""
    size, group = layer.head_width, layer.heads // layer.kv_heads
    phase = torch.complex(*turn)[:, : size // 2]

    def turned(vectors: Tensor) -> Tensor:
        pairs = torch.complex(vectors[:, : size // 2], vectors[:, size // 2 :]) * phase
        return torch.cat((pairs.real, pairs.imag), -1)

    def normed(vectors: Tensor, norm: RMSNorm) -> Tensor:
        return vectors / (vectors.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight

    rows = []
    for number, row in enumerate(x):
        heads = []
        for head in range(layer.heads):
            here, shared = slice(head * size, (head + 1) * size), slice(head // group * size, (head // group + 1) * size)
            q, k, v = layer.q_proj(row)[:, here], layer.k_proj(row)[:, shared], layer.v_proj(row)[:, shared]
            if layer.normed:
                q, k = normed(q, layer.q_norm), normed(k, layer.k_norm)
            q, k, out = turned(q), turned(k), []
            for place in range(len(row)):
                seen = [other for other in range(place + 1) if mask is None or mask[number, 0, place, other]]
                shares = torch.softmax(k[seen] @ q[place] / math.sqrt(size), -1)
                out.append(shares @ v[seen])
            heads.append(torch.stack(out))
        rows.append(layer.o_proj(torch.cat(heads, -1)))
    return torch.stack(rows)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_the_formula_of_its_paper(shape: str, mask: str, compiled: bool) -> None:
    layer, x, turn = attention(**SHAPES[shape]), torch.randn(2, TIME, WIDTH, requires_grad=True), some_turn()
    wanted = (x, *layer.parameters())
    slope = torch.randn(2, TIME, WIDTH)
    ours, plain = layer(x, turn, None, MASKS[mask]), reference(layer, x, turn, MASKS[mask])
    torch.testing.assert_close(ours, plain)
    for one, other in zip(torch.autograd.grad(ours, wanted, slope), torch.autograd.grad(plain, wanted, slope), strict=True):
        torch.testing.assert_close(one, other)


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qk_norm": {"qk_norm": True, "head_width": 6},
    "gpt2": {"family": "gpt2", "kv_heads": 4},
}
"""Changes of a decoder."""


def decoder(family: str) -> DecoderModel:
    shape = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "ffn": 48, "context": 16, **FAMILIES[family]}
    return DecoderModel(recipe.Decoder(**shape), 70)


def knows(model: DecoderModel, ids: Tensor, **told: Any) -> Tensor:
    """How much the logits of each token depend on the embedding of each: float [batch, time, time], by gradients."""
    embedded: list[Tensor] = []
    hook = model.model.embed_tokens.register_forward_hook(lambda *call: embedded.append(call[-1]))
    logits = model(ids, **told) @ torch.randn(model.vocab_size)
    hook.remove()
    (into,) = embedded
    slopes = [torch.autograd.grad(logits[:, place].sum(), into, retain_graph=True)[0] for place in range(ids.shape[1])]
    return torch.stack(slopes, 1).norm(dim=-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_token_knows_what_follows(family: str, compiled: bool) -> None:
    found = knows(decoder(family), torch.randint(0, 70, (2, TIME)))
    before = torch.ones(TIME, TIME).tril().bool()
    assert (found[:, before] > 0).all() and (found[:, ~before] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_information_crosses_a_documents_border(family: str, compiled: bool) -> None:
    """Nor does filling tell a text anything."""
    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 3, 4]])
    found = knows(decoder(family), torch.randint(0, 70, (2, TIME)), packed=(DOCUMENTS, positions))
    own = (DOCUMENTS[:, :, None] == DOCUMENTS[:, None, :]).tril()
    assert (found[own] > 0).all() and (found[~own] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_tells_a_text_nothing(family: str) -> None:
    found = knows(decoder(family), torch.randint(0, 70, (2, TIME)), padding=PADDING)
    text = torch.arange(TIME) >= PADDING[:, None]
    assert (found.transpose(1, 2)[~text][:, 4:] == 0).all(), "no gradient from text to padding"
    own = (text[:, :, None] & text[:, None, :]).tril()
    assert (found[own] > 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_the_objective_has_no_gradient_from_filling_or_across_borders(masked: bool, compiled: bool) -> None:
    """With the mask, what a document contributes is what it contributes alone; filling contributes nothing in either way."""
    model, rows = decoder("llama"), torch.randint(0, 70, (1, 10))
    documents = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, -1, -1]])
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 0, 0]])
    objective, share = NextTokenOfDocument(model, masked), torch.tensor(6.0)

    def gradient(rows: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(objective(rows, documents, positions, share), list(model.parameters())))

    other = rows.clone()
    other[:, 8:] = (other[:, 8:] + 1) % 70
    for one, two in zip(gradient(rows), gradient(other), strict=True):
        torch.testing.assert_close(one, two)
    if masked:
        alone = [objective(rows[:, cut], documents[:, cut], positions[:, cut], share) for cut in (slice(0, 4), slice(4, 8))]
        parts = torch.autograd.grad(alone[0] + alone[1], list(model.parameters()))
        for one, two in zip(gradient(rows), parts, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)  # losses are float32
