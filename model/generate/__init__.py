"""The model: *generation* lets a decoder go on from *prompts*. `drawing` picks a token from its logits, `rows` goes on from several
prompts at a time, `beams` looks for the likeliest text instead, and a *writer* does all of it with text in and text out.

    writer = Writer(folder)
    [written] = writer.write(["Once upon a time"], Asked(max_tokens=64, drawing=Drawing(temperature=0.8, top_p=0.95), seed=1))
"""

from __future__ import annotations

from model.generate.beams import beam_search
from model.generate.drawing import Drawing, keep_likely
from model.generate.rows import continue_rows, generate
from model.generate.writer import Asked, Writer, Written

__all__ = ["Asked", "Drawing", "Writer", "Written", "beam_search", "continue_rows", "generate", "keep_likely"]
