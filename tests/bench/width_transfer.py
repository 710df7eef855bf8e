"""Does the best learning rate of a narrow decoder hold for a wide one? Losses by width and learning rate, as the decoder is, and scaled
by width in the manner of muP (Yang et al., arXiv:2203.03466):

    hidden matrices      learning rate and variance at the start times 64 / width
    logits               times 64 / width, as the tied embedding keeps its learning rate and its start

    python -m tests.bench.width_transfer [--widths 64 128 256] [--seeds 3] [--steps 100] [--powers 9 8 7 6 5]

A width of 64 is the same both ways. The text is the small one of the tests; optimizer AdamW; the loss is validation bits per byte.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.data import training_batches
from model.decoder import DecoderModel
from model.parallel import ranks
from model.phases import Stage
from model.schedule import lr_scale
from model.stream import validation_streams
from model.text import Special
from model.validate import Validation
from schemas import recipe
from tests.model.conftest import commit_tokenizer, commit_tokens, small_documents

BASE = 64
HEAD_WIDTH = 32
CONTEXT, BATCH = 64, 16


class Scaled(nn.Module):
    """A decoder whose logits are multiplied."""

    def __init__(self, decoder: DecoderModel, times: float) -> None:
        super().__init__()
        self.decoder, self.times = decoder, times

    def forward(self, ids: Tensor, packed: None = None) -> Tensor:
        return self.decoder(ids) * self.times


def build(width: int, vocab: int, scaled: bool, lr: float) -> tuple[Scaled, torch.optim.Optimizer]:
    heads = width // HEAD_WIDTH
    shape = recipe.Decoder(layers=2, width=width, heads=heads, kv_heads=heads, ffn=width * 11 // 4 // 8 * 8, context=CONTEXT)
    decoder, times = DecoderModel(shape, vocab), BASE / width if scaled else 1.0
    hidden = [weight for name, weight in decoder.named_parameters() if weight.ndim == 2 and "embed" not in name]
    with torch.no_grad():
        for weight in hidden:
            weight *= math.sqrt(times)
    rest = [weight for weight in decoder.parameters() if all(weight is not other for other in hidden)]
    groups = [{"params": hidden, "lr": lr * times, "weight_decay": 0.1}, {"params": rest, "lr": lr, "weight_decay": 0.0}]
    return Scaled(decoder, times), torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--powers", type=int, nargs="+", default=[9, 8, 7, 6, 5], help="of a half: the learning rates")
    options = parser.parse_args()
    rates = [2.0**-power for power in options.powers]
    documents = list(small_documents())
    with tempfile.TemporaryDirectory() as folder, ranks(1) as group:
        tokenizer = commit_tokenizer(Path(folder) / "tokenizer", [text for _, _, text in documents], 600)
        tokens = commit_tokens(Path(folder) / "tokens", documents, tokenizer)
        vocab, special = tokenizer.facts("tokenizer")["vocab_size"], tokenizer.facts("tokenizer")["special_tokens"]
        around = Special(special["bos"], special["eos"])
        validation = Validation(validation_streams(tokens.path, around), 8192, CONTEXT, "width", group, False)
        schedule = recipe.Schedule(name="linear", warmup=0.1)

        def trained(width: int, scaled: bool, lr: float, seed: int) -> float:
            batches = training_batches(tokens.path, [Stage(0, BATCH, CONTEXT, {})], seed, around)
            torch.manual_seed(seed)
            model, optimizer = build(width, vocab, scaled, lr)
            peaks = [row["lr"] for row in optimizer.param_groups]
            for step in range(options.steps):
                for row, peak in zip(optimizer.param_groups, peaks, strict=True):
                    row["lr"] = peak * lr_scale(step, options.steps, schedule)
                ids = batches.batch_at(step).ids
                loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            return statistics.mean(validation.by_language(model, torch.float32).values())  # type: ignore[arg-type]

        print("width  scaled  " + "  ".join(f"{rate:>13.5f}" for rate in rates) + "   best", flush=True)
        for width in options.widths:
            for scaled in (False, True) if width != BASE else (False,):
                found = [[trained(width, scaled, rate, seed) for seed in range(options.seeds)] for rate in rates]
                cells = [f"{statistics.mean(row):.3f} ± {statistics.pstdev(row):.3f}" for row in found]
                best = min(range(len(rates)), key=lambda n: statistics.mean(found[n]))
                print(f"{width:>5}  {scaled!s:>6}  " + "  ".join(cells) + f"  {rates[best]:.5f}", flush=True)


if __name__ == "__main__":
    main()
