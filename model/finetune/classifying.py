"""The model: to *classify* is to let a model that was fine-tuned for sequences say the label of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.checkpoint import Mismatch
from model.examples import Classified
from model.finetune.reading import Text, reading_of
from model.finetune.saved import OURS, load_headed
from model.finetune.sequences import Sequences


def classify(folder: Path, texts: Sequence[Text]) -> list[tuple[str, float]]:
    """The most probable label of each text, or of each two, and its probability. Raises `Mismatch` if the folder's model is not for
    that."""
    model, config = load_headed(folder)
    if model.purpose != "sequence":
        raise Mismatch(f"{folder}: is a {config['architectures'][0]}, which gives no label to texts")
    reading = reading_of(folder, config, config.get(OURS, {}).get("max_tokens", model.architecture.context))
    kind = Sequences(reading, model.labels)
    asked = [Classified("", text, None, "") if isinstance(text, str) else Classified("", text[0], text[1], "") for text in texts]
    best = [row.softmax(-1).max(-1) for row in kind.logits(model, asked)]
    return [(model.labels[int(one.indices)], float(one.values)) for one in best]
