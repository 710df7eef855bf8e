"""Fine-tuning learns as `transformers` does: the same losses, step by step, from the same weights by the same batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from model.checkpoint import load_model, save_model
from model.examples import Classified
from model.families import build_model
from model.finetune.fit import BETAS, CLIP, Fit, Judged
from model.finetune.heads import headed
from model.finetune.reading import Reading
from model.finetune.samples import batch_of, shuffled
from model.finetune.saved import save_headed
from model.finetune.sequences import Sequences
from model.hf.export import frame_as_pretraining
from schemas import recipe
from tests.model.conftest import commit_tokenizer
from tests.model.labelled import small_reviews
from tests.model.test_heads import SHAPES

STEPS = 20


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "modernbert", "llama", "t5"])
def test_losses_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    rows = [row for row in small_reviews() if row.extra][: STEPS * 16]
    committed = commit_tokenizer(tmp_path / "tokenizer", [row.text for row in rows], 400)
    facts = committed.facts("tokenizer")
    torch.manual_seed(0)
    (tmp_path / "base").mkdir()
    save_model(build_model(SHAPES[family], facts["vocab_size"]), tmp_path / "base", {})
    tokenizer, special = Tokenizer.from_file(str(committed.paths("tokenizer")[0])), facts["special_tokens"]
    if family == "t5":  # its class looks for the eos
        frame_as_pretraining(tokenizer, None, special["eos"])
    reading = Reading(tokenizer, 48, special["pad"])
    examples = [Classified(str(n), row.text, None, "pos" if '"pos"' in str(row.extra) else "neg") for n, row in enumerate(rows)]
    kind = Sequences(reading, ["neg", "pos"])
    samples = kind.samples(examples)
    settings = recipe.Finetune(
        source="x", epochs=1, batch=16, max_tokens=48, lr=3e-4, weight_decay=0.0, warmup=0.0, precision="float32", dropout=0.0
    )
    torch.manual_seed(1)
    model = headed(load_model(tmp_path / "base")[0], "sequence", kind.labels, start=reading.pad)
    (tmp_path / "start").mkdir()
    ids = {"pad_token_id": reading.pad, "eos_token_id": special["eos"], "decoder_start_token_id": reading.pad}
    save_headed(model, tmp_path / "start", ids, {})
    ours: list[float] = []
    fit = Fit(model, kind.loss, samples, settings, 7, reading.pad, 48)
    fit.run(lambda model: Judged(0.0, {}), lambda row: ours.append(row["loss"]))

    theirs_model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "start").train()
    optimizer = torch.optim.AdamW(theirs_model.parameters(), lr=3e-4, betas=BETAS, weight_decay=0.0)
    order = shuffled(samples, 16, 48, 7, 0)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, len(order))
    theirs = []
    for numbers in order:
        batch = batch_of([samples[number] for number in numbers], reading.pad, 48)
        mask = (torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]).long()
        loss = theirs_model(input_ids=batch.ids, attention_mask=mask, labels=batch.target[:, 0]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs_model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        theirs.append(loss.item())
    assert len(ours) >= STEPS
    assert ours[:STEPS] == pytest.approx(theirs[:STEPS], abs=1e-4)
