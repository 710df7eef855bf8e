"""The model: the *adapter* is a saved model as lm-evaluation-harness asks for it, so that its tasks run on our models natively. What it
hands on is text; how texts are framed, cut and batched is our own (`likelihood`, `model.generate`).

Log-likelihoods are those of the harness's own `hf` backend with `add_bos_token`, on the exported model. A prompt that leaves no room to
write in the context is not cut beforehand: what is written goes on from its later half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from model.encoder_decoder import EncoderDecoderModel
from model.evaluate.likelihood import Pair, encode_pair, log_likelihoods, opening
from model.generate import Asked, Drawing, Writer
from schemas.errors import RequestError

WRITTEN_TOGETHER = 16


class Adapter(LM):
    """See the module."""

    def __init__(self, writer: Writer, rows: int | None = None, seed: int = 0) -> None:
        """`rows`: pairs of a batch at the most; None: by length."""
        super().__init__()
        self._writer, self._rows, self._seed = writer, rows, seed

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each request's continuation behind its context, and whether it is what would be written greedily."""
        pairs = [encode_pair(self._writer, *request.args) for request in requests]
        return [(likely.log_likelihood, likely.greedy) for likely in log_likelihoods(self._writer, pairs, self._rows)]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Of whole texts, in windows that don't overlap, as the harness cuts them. Raises `RequestError` for what writes no text alone."""
        if isinstance(self._writer.model, EncoderDecoderModel):
            raise RequestError("an encoder-decoder gives no likelihood to text alone: leave out tasks of loglikelihood_rolling")
        found = []
        for request in requests:
            ids = self._writer.tokenizer.encode(request.args[0], add_special_tokens=False).ids
            limit = getattr(self._writer.model, "limit", None) or max(len(ids), 1)
            windows = get_rolling_token_windows(ids, opening(self._writer), limit, context_len=1)
            pairs = [Pair(*make_disjoint_window(window)) for window in windows]
            found.append(sum(likely.log_likelihood for likely in log_likelihoods(self._writer, pairs, self._rows)))
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What is written behind each request's context."""
        texts = [""] * len(requests)
        asked = [_asked(request.args[1], self._seed) for request in requests]
        order = sorted(range(len(requests)), key=lambda number: (repr(asked[number]), len(requests[number].args[0])))
        while order:
            same = [number for number in order[:WRITTEN_TOGETHER] if asked[number] == asked[order[0]]]
            order = order[len(same) :]
            written = self._writer.write([requests[number].args[0] for number in same], asked[same[0]])
            for number, one in zip(same, written, strict=True):
                texts[number] = one.text
        return texts


def _asked(settings: Mapping[str, Any], seed: int) -> Asked:
    """The harness's settings of generation as ours. Raises `RequestError` for one that we don't know."""
    told = dict(normalize_gen_kwargs(dict(settings)))
    until, most, temperature = told.pop("until", []), told.pop("max_gen_toks"), float(told.pop("temperature", 0.0) or 0.0)
    drawn = bool(told.pop("do_sample", temperature > 0))
    top_k, top_p = told.pop("top_k", None), told.pop("top_p", None)
    if told:
        raise RequestError(
            f"generation_kwargs.{min(told)}: is not known here: until, max_gen_toks, do_sample, temperature, top_k and top_p are"
        )
    return Asked(int(most), drawing=Drawing(temperature if drawn else 0.0, top_k, top_p), seed=seed, stop=tuple(s for s in until if s))
