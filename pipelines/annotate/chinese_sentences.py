"""The model: a Chinese *sentence* ends at terminal punctuation, with the quotes and brackets that close behind it, and at a new
line. ASCII marks end one too, unless a letter or a part of an address goes on behind them (`a?b=1`).
"""

from __future__ import annotations

import re

_ENDS = re.compile(r"""(?:(?:[。！？…；｡]|[!?](?![A-Za-z0-9_&=/%]))+[”’」』）】》〉"')\]]*|\n)\s*""")


def sentence_ends(text: str) -> list[int]:
    """Where sentences end, in characters; white space behind one belongs to it. The end of the text need not be among them."""
    ends = [match.end() for match in _ENDS.finditer(text)]
    if ends and text[: ends[0]].isspace():
        del ends[0]  # white space at the start of a text is part of its first sentence
    return ends
