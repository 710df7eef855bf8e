"""The model: a *secret* opens something: a key or token of a known *issuer*, told by its prefix and shape; a private key in PEM;
a password in a URL; or any random string that is *assigned* to a name that says what it is (`api_key = "..."`, `密码：...`).

All prefixes and names are looked for at once (Aho-Corasick), so text without any costs next to nothing. A string that is
assigned counts as random if it has 16 characters or more, letters and digits, few repetitions, and is no identifier.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from pipelines.redact.haystack import Haystack, Span

_END = rb"(?![A-Za-z0-9])"
_INSIDE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ISSUERS: tuple[tuple[str, bytes], ...] = (
    ("AKIA ASIA ABIA ACCA AGPA AIDA AIPA ANPA ANVA AROA APKA", rb"[A-Z2-7]{16}"),  # Amazon
    ("ghp_ gho_ ghu_ ghs_ ghr_", rb"[A-Za-z0-9]{36,251}+"),  # GitHub
    ("github_pat_", rb"[A-Za-z0-9_]{22,244}+"),
    ("glpat- gldt- glrt-", rb"[A-Za-z0-9_-]{20,64}+"),  # GitLab
    ("xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe- xoxe.xoxp- xoxe.xoxb-", rb"[A-Za-z0-9-]{10,250}+"),  # Slack
    ("xapp-", rb"[0-9]-[A-Za-z0-9-]{10,250}+"),
    ("hooks.slack.com/services/", rb"T[A-Za-z0-9]{6,14}/B[A-Za-z0-9]{6,14}/[A-Za-z0-9]{16,32}"),
    ("AIza", rb"[A-Za-z0-9_-]{35}"),  # Google
    ("ya29.", rb"[A-Za-z0-9_-]{20,512}+"),
    ("GOCSPX-", rb"[A-Za-z0-9_-]{28}"),
    ("sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ whsec_", rb"[A-Za-z0-9]{16,250}+"),  # Stripe
    ("sk-", rb"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,250}+"),  # OpenAI, Anthropic and others
    ("hf_", rb"[A-Za-z0-9]{34}"),  # Hugging Face
    ("npm_", rb"[A-Za-z0-9]{36}"),
    ("pypi-", rb"AgE[A-Za-z0-9_-]{50,250}+"),
    ("SG.", rb"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),  # SendGrid
    ("LTAI", rb"[A-Za-z0-9]{12,20}+"),  # Alibaba Cloud
    ("AKID", rb"[A-Za-z0-9]{32}"),  # Tencent Cloud
    ("eyJ", rb"[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]{16,2048}+"),  # JSON web tokens, RFC 7519
)

_NAMES = "key Key KEY secret Secret SECRET token Token TOKEN passw Passw PASSW pwd Pwd PWD credential CREDENTIAL 密码 密钥 口令 令牌 秘钥"
_ASSIGNED = re.compile(
    rb"[A-Za-z0-9_.-]{0,24}(?:[\"'][\])]?)?[ \t]{0,4}(?:=>|:=|==?|[:=,]|" + "：|是|为".encode() + rb")[ \t]{0,4}(?:[BbFfRrUu]?[\"'`])?"
    rb"(?P<value>[A-Za-z0-9+/_.~-]{16,512}+={0,2}+)(?P<next>[^A-Za-z0-9]|\Z)"
)
_WORD = rb"(?:[A-Za-z]*[0-9]{0,5}[A-Z]?|[A-Z]?[a-z]+[0-9]{1,5}(?:[A-Z][a-z]{2,})*)"
_IDENTIFIER = re.compile(_WORD + rb"(?:[_./+=~-]+" + _WORD + rb")*|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_LEAST_ENTROPY = 3.0
"""Bits a character. Sixteen random hexadecimal digits have 3.2 on average, a counted row of digits and letters more: that one
has no repetition, but nobody writes it behind such a name."""

_PEM_BEGIN, _PEM_END = b"-----BEGIN ", b"-----END "
_PEM_NAME = re.compile(rb"[A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(rb"(?:[A-Za-z0-9+/=\s\"'`,:;|>#*]++|\\[nrt]|-(?!-)|\\\n)*")  # not `)*+`: Python before 3.11.5 ends that too late
_KEY_MATERIAL = re.compile(rb"[A-Za-z0-9+/]{12}")
_PEM_TAIL = re.compile(rb"-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")

_IN_URL = re.compile(rb"://[A-Za-z0-9._~%+-]{0,128}:(?P<password>[A-Za-z0-9._~%!$&*+,;=^#-]{3,128})@\Z")
_URL_REACH = 280
_STAND_IN = re.compile(
    rb"(?:(?:my|your|some|the|db|user)[_-]?)?(?:pass|password|passwd|passphrase|pwd|pw|secret|token|key)|x+|\*+|\.+|change_?me|example|user(?:name)?",
    re.IGNORECASE,
)
"""What manuals write where a password would stand."""


class _Known(NamedTuple):
    automaton: BytesAhoCorasick
    shapes: list[re.Pattern[bytes] | None]
    """By pattern of the automaton; None: a name."""


@cache
def _known() -> _Known:
    prefixes = [
        (prefix.encode(), re.compile(re.escape(prefix.encode()) + shape + _END)) for row, shape in _ISSUERS for prefix in row.split()
    ]
    names = [name.encode() for name in _NAMES.split()]
    patterns = [prefix for prefix, _ in prefixes] + [_PEM_BEGIN] + names
    shapes = [*(shape for _, shape in prefixes), None, *(None for _ in names)]
    return _Known(BytesAhoCorasick(patterns, matchkind=MatchKind.LeftmostLongest), shapes)


def find_secrets(haystack: Haystack) -> Iterator[Span]:
    """Keys, tokens and passwords, without the quotes around them."""
    text, known = haystack.text, _known()
    covered = 0
    for pattern, start, end in known.automaton.find_matches_as_indexes(bytes(text)):
        if start < covered:
            continue
        shape = known.shapes[pattern]
        if shape is not None:
            span = _issued(text, shape, start)
        elif text.startswith(_PEM_BEGIN, start):
            span = _pem(text, start, end)
        else:
            span = _assigned(text, end)
        if span is not None:
            covered = span[1]
            yield span
    at = text.find(b"@")
    while at >= 0:
        reach = max(0, at + 1 - _URL_REACH)
        scheme = text.rfind(b"://", reach, at)
        if scheme >= 0 and (match := _IN_URL.match(text, scheme, at + 1)) and not _STAND_IN.fullmatch(match["password"]):
            yield match.span("password")
        at = text.find(b"@", at + 1)


def _issued(text: bytearray, shape: re.Pattern[bytes], start: int) -> Span | None:
    if start and text[start - 1] in _INSIDE:  # and so no two matches that fail have read the same bytes
        return None
    match = shape.match(text, start)
    return match.span() if match else None


def _pem(text: bytearray, start: int, end: int) -> Span | None:
    """A private key from its first to its last line; if the last is missing, as far as it looks like one. A first line alone is none."""
    name = _PEM_NAME.match(text, end)
    if name is None:
        return None
    body = _PEM_BODY.match(text, name.end())
    assert body is not None, "the pattern matches nothing, too"
    if not _KEY_MATERIAL.search(text, body.start(), body.end()):
        return None
    tail = _PEM_TAIL.match(text, body.end())
    return start, tail.end() if tail else body.start() + len(body[0].rstrip(b" \t\r\n\"'`,;"))


def _assigned(text: bytearray, end: int) -> Span | None:
    match = _ASSIGNED.match(text, end)
    if match is None or match["next"] == b"(" or not _random(match["value"]):
        return None
    return match.span("value")


def _random(value: bytes) -> bool:
    if _IDENTIFIER.fullmatch(value) or value.isdigit() or not any(48 <= byte < 58 for byte in value):
        return False
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) >= _LEAST_ENTROPY
