"""The model: *loading* a model is a few lines of Python for the folder that `gristmill export` writes, by its class, and one command for
the store."""

from __future__ import annotations

from flows.card.gather import CardFacts
from flows.report.blocks import Block, Code, Note, Section

HEADS = {
    "sequence": ("AutoModelForSequenceClassification", "text-classification"),
    "tokens": ("AutoModelForTokenClassification", "token-classification"),
    "spans": ("AutoModelForQuestionAnswering", "question-answering"),
}
MASKED = ("bert", "modernbert")
WRITTEN_HERE = "gristmill-lstm"
"""The family that `transformers` has no class for."""


def auto_class(facts: CardFacts) -> tuple[str, str | None]:
    """The `Auto` class that loads it, and the task of a pipeline; no task for states alone."""
    if facts.head is not None:
        return HEADS[facts.head]
    written = (facts.config.get("architectures") or [""])[0]
    if facts.model_type == "t5":
        return "AutoModelForSeq2SeqLM", "text2text-generation"
    if facts.model_type in MASKED:
        if written.endswith("ForPreTraining"):
            return "AutoModelForPreTraining", "fill-mask"
        return ("AutoModelForMaskedLM", "fill-mask") if written.endswith("ForMaskedLM") else ("AutoModel", None)
    return "AutoModelForCausalLM", "text-generation"


def loading(facts: CardFacts) -> Section:
    reference = facts.reference.partition("@")[0]
    blocks: list[Block] = []
    lead = "By transformers from the folder that gristmill export writes, or by gristmill from the store."
    if facts.model_type == WRITTEN_HERE:
        lead = "By gristmill from the store: transformers has no class for this family."
    else:
        loader, _ = auto_class(facts)
        python = (
            f"from transformers import AutoTokenizer, {loader}\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("DIR")  # the folder of this card\n'
            f'model = {loader}.from_pretrained("DIR")'
        )
        blocks.append(Code(python))
    commands = [f"gristmill export {reference} DIR"] if facts.model_type != WRITTEN_HERE else []
    if facts.head is None and auto_class(facts)[1] is not None:
        commands.append(f"gristmill {'fill' if facts.model_type in MASKED else 'generate'} {reference} TEXT")
    blocks.append(Code("\n".join(commands)))
    if facts.head is not None:
        labels = ", ".join(str(label) for label in (facts.config.get("id2label") or {}).values())
        blocks.append(Note(f"Its labels: {labels}." if labels else "It has no labels: it points at the words of an answer."))
    return Section("loading", "How to load it", lead, blocks)
