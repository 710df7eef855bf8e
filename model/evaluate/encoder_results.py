"""The model: what an encoder makes of held-out texts, as results: its pseudo-likelihood by language and source, and if it has the head for
it, whether it tells that a text's second half follows its first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from model.evaluate.held_out import Text
from model.evaluate.language_results import Nats, language_results
from model.evaluate.pseudo import follows, pseudo_nats
from model.evaluate.results import Asked, System, result_of
from model.fill import Filler
from model.metrics import metric_named
from schemas.progress import ProgressFile
from schemas.results import MODEL, Result

FOLLOWS = ("new", "follows")
COMPARED_ALONE = "a pseudo-likelihood knows both sides of a token: it compares with other encoders, not with what goes on with a text"


def encoder_results(name: str, filler: Filler, texts: Sequence[Text], tokenizer: str, seed: int, folder: Path) -> list[Result]:
    """`NAME.LANG`, `NAME.from.SOURCE` of several sources, and `NAME.next_sentence`; items are written below `folder`, progress too.
    `tokenizer` is the digest of the model's."""
    sizes = [len(text.tokens) for text in texts]
    progress, done = ProgressFile(folder, sum(sizes), "tokens"), 0

    def advance(tokens: int) -> None:
        nonlocal done
        done += tokens
        progress.tell(done, "hidden one by one")

    progress.tell(0, "hidden one by one", force=True)
    systems = {MODEL: Nats(pseudo_nats(filler, texts, advance), sizes)}
    found = language_results(name, texts, systems, tokenizer, seed, folder, pseudo=True, notes=(COMPARED_ALONE,))
    if filler.model.next_sentence is not None and (asked := follows(filler, texts)):
        found.append(_next_sentence(name, asked, texts, seed, folder))
    return found


def _next_sentence(name: str, asked: Sequence[tuple[int, bool, bool]], texts: Sequence[Text], seed: int, folder: Path) -> Result:
    metric = metric_named("accuracy", "pairs")
    wanted, said = ([FOLLOWS[row[place]] for row in asked] for place in (1, 2))
    answers = {MODEL: said, "majority": [FOLLOWS[1]] * len(said)}
    systems = {system: System(given, {metric.name: metric.of(given, wanted)}) for system, given in answers.items()}
    ids = [f"{texts[number].doc_id.hex()}/{FOLLOWS[true]}" for number, true, _ in asked]
    langs = [texts[number].lang for number, _, _ in asked]
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return result_of(Asked(f"{name}.next_sentence", "pairs", 1, seed, digest, ids, wanted, langs), [metric], systems, folder)
