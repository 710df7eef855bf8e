"""The model: a *classifier* is a decoder without its language-modelling head, the mean of its final states over a text's
positions, and a linear *score* for each label. A *saved classifier* is a folder with `model.safetensors`, a
`config.json` that holds labels and architecture, and the `tokenizer.json` that its texts must go through.

A text is read as pretraining framed it, bos + tokens + eos, cut to `max_tokens` with both in place. The mean is
taken because it learns sooner than the last position does: 0.820 against 0.748 of validation reviews after one epoch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from model.checkpoint import Mismatch
from model.decoder import DecoderModel
from schemas import recipe

ARCHITECTURE = "DecoderClassifier"
EMBEDDING = "model.embed_tokens.weight"
LENGTH_STEP = 8
"""Texts are padded to multiples of this, so that few lengths occur and little is wasted."""
BATCH = 64
"""Texts a batch when only answers are wanted."""


@dataclass(frozen=True)
class Reading:
    """How a text becomes ids."""

    bos: int
    eos: int
    pad: int
    max_tokens: int
    """With bos and eos."""

    def ids(self, tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """bos + tokens + eos, at most `max_tokens` of them; the text's end is cut, not the eos."""
        kept = np.asarray(tokens, dtype=np.int64)[: self.max_tokens - 2]
        return np.concatenate(([self.bos], kept, [self.eos])).astype(np.int64)

    def padded_length(self, length: int) -> int:
        return min(-(-length // LENGTH_STEP) * LENGTH_STEP, self.max_tokens)

    def batch(self, texts: Sequence[npt.NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
        """Ids int64 [texts, padded length of the longest], and lengths int64 [texts]."""
        lengths = [len(text) for text in texts]
        ids = np.full((len(texts), self.padded_length(max(lengths))), self.pad, dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
        return torch.from_numpy(ids), torch.tensor(lengths)


class Classifier(nn.Module):
    """A decoder's backbone with a score for each label."""

    def __init__(self, decoder: DecoderModel, labels: Sequence[str], reading: Reading, dropout: float = 0.0) -> None:
        """Takes over the decoder's weights; the score's are drawn from torch's global generator."""
        super().__init__()
        self.architecture, self.vocab_size = decoder.config, decoder.vocab_size
        self.labels, self.reading = tuple(labels), reading
        self.model = decoder.model
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(decoder.config.width, len(labels))
        nn.init.normal_(self.score.weight, std=0.02)
        nn.init.zeros_(self.score.bias)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """int64 [batch, time], int64 [batch] -> logits float [batch, labels]. What stands after a text's length is not seen."""
        states = self.model(ids).float()
        inside = torch.arange(ids.shape[1]) < lengths[:, None]
        mean = (states * inside[..., None]).sum(1) / lengths[:, None]
        return self.score(self.dropout(mean))

    @torch.no_grad()
    def probabilities(self, texts: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Ids of texts, as `Reading.ids` gives them -> float32 [texts, labels]."""
        result = torch.empty(len(texts), len(self.labels))
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            result[rows] = self(*self.reading.batch([texts[row] for row in rows])).float().softmax(-1)
        return result

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write `model.safetensors` (float32, vocabulary of its real size) and `config.json`; return both paths."""
        tensors = {name: tensor.float().contiguous() for name, tensor in self.state_dict().items()}
        tensors[EMBEDDING] = tensors[EMBEDDING][: self.vocab_size].contiguous()
        config = {
            "architectures": [ARCHITECTURE],
            "decoder": self.architecture.as_json(),
            "vocab_size": self.vocab_size,
            "labels": list(self.labels),
            "reading": asdict(self.reading),
        }
        weights, description = folder / "model.safetensors", folder / "config.json"
        save_file(tensors, weights, metadata={"format": "pt"})
        description.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return weights, description


def load_classifier(folder: Path) -> Classifier:
    """The classifier saved in a folder, ready to answer. Raises `Mismatch` naming the file that is not as it should be."""
    description, weights = folder / "config.json", folder / "model.safetensors"
    try:
        config: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
        if config["architectures"] != [ARCHITECTURE]:
            raise Mismatch(f"{description}: is a {config['architectures']}, not a {ARCHITECTURE}: only fine-tuned models classify")
        with torch.random.fork_rng(devices=[]):
            decoder = DecoderModel(recipe.Decoder(**config["decoder"]), config["vocab_size"])
            classifier = Classifier(decoder, config["labels"], Reading(**config["reading"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Mismatch(f"{description}: does not describe a classifier: {error!r}") from error
    try:
        tensors = load_file(weights)
        rows = classifier.model.embed_tokens.weight.detach().clone()
        rows[: config["vocab_size"]] = tensors[EMBEDDING]
        classifier.load_state_dict({**tensors, EMBEDDING: rows})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise Mismatch(f"{weights}: does not fit {description}: {error!r}") from error
    return classifier.eval()


def classify(model_folder: Path, texts: Sequence[str]) -> list[tuple[str, float]]:
    """The most probable label of each text, and its probability. Raises `Mismatch` if the folder holds no classifier."""
    classifier = load_classifier(model_folder)
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    best = classifier.probabilities([classifier.reading.ids(e.ids) for e in encoded]).max(-1)
    return [(classifier.labels[index], probability) for index, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
