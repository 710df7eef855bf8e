"""The model: an *address* is an e-mail address, found from its '@', or an Internet address, found from its dots or colons.

An Internet address counts if it is one that the whole Internet can reach (IANA's special-purpose registries, RFC 6890): what
stands in so many programs and manuals, 127.0.0.1 or 192.168.0.1, is nobody's. Version and section numbers look the same: with
less than two numbers of two digits it is one, unless a word before it says that it is an address; and so it is behind a word
that says so.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import numpy as np

from pipelines.redact.domains import TOP_LEVEL
from pipelines.redact.haystack import Bytes, Haystack, Ints, Span

_LOCAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+'-"
"""What people have in their addresses; RFC 5322 allows more, such as the `=` and `/` that stand before one in programs."""
_LOCAL_LENGTH = 64
_NEVER_FIRST = b".%+'-"
_HOST = re.compile(rb"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")  # not `}+`: Python before 3.11.5 takes a dot behind it, too
_LABEL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_LETTERS = re.compile(rb"[A-Za-z]+")

_QUAD = re.compile(
    rb"(?<![0-9A-Za-z_])(?<![0-9]\.)(?<![0-9A-Za-z]-)(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    + rb"\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" * 3
    + rb"(?![0-9A-Za-z_])(?!\.[0-9])(?!-[0-9A-Za-z])"
)
_VERSION = re.compile(
    rb"(?:version|release|build|firmware|driver|update|patch|\bver|\brev|\bv|section|chapter|" + "版本|固件|章|节".encode() + rb")"
    rb"[ \t:.=\"'v]*\Z|[A-Za-z0-9]/\Z|(?:==|>=|<=|~=|\^)[ ]?\Z",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    rb"(?:\bip(?:v4)?|addr|address|host|server|dns|ping|://|" + "地址".encode() + rb")[ \t:=\"'(]*(?:is )?\Z", re.IGNORECASE
)
_REACH = 24

_SIXTEEN_BITS = re.compile(rb"(?<![0-9A-Za-z.])(?<![0-9A-Fa-f:]:)[23][0-9A-Fa-f]{3}:(?=[0-9A-Fa-f:])[0-9A-Fa-f:]{1,34}(?![0-9A-Za-z:])")

_SPECIAL = tuple(
    (int.from_bytes(socket.inet_aton(network)) >> (32 - bits), 32 - bits)
    for network, bits in (
        ("0.0.0.0", 8), ("10.0.0.0", 8), ("100.64.0.0", 10), ("127.0.0.0", 8), ("169.254.0.0", 16), ("172.16.0.0", 12),
        ("192.0.0.0", 24), ("192.0.2.0", 24), ("192.168.0.0", 16), ("198.18.0.0", 15), ("198.51.100.0", 24), ("203.0.113.0", 24),
        ("224.0.0.0", 3),
    )
)  # fmt: skip


def find_emails(haystack: Haystack) -> Iterator[Span]:
    """E-mail addresses: a local part of ASCII, and a host below a top-level domain that exists."""
    text = haystack.text
    for at in np.flatnonzero(haystack.codes == ord("@")).tolist():
        left = text[max(0, at - _LOCAL_LENGTH) : at]
        local = left[len(left.rstrip(_LOCAL)) :].lstrip(_NEVER_FIRST)
        host = _host_length(text, at + 1) if local else 0
        if host and not (local == b"git" and text[at + 1 + host : at + 2 + host] == b":"):  # what a clone comes from
            yield at - len(local), at + 1 + host


def _host_length(text: bytearray, start: int) -> int:
    """Length of the longest host name that begins here; 0 if none does. Digits may follow it at once."""
    match = _HOST.match(text, start)
    if match is None:
        return 0
    labels = match[0].split(b".")
    while len(labels) > 1:
        *lower, last = labels
        letters = _LETTERS.match(last)
        name = letters[0] if letters else b""
        whole = name == last or last[len(name) :].isdigit()
        if whole and name in (name.lower(), name.upper()) and name.lower() in TOP_LEVEL and all(map(_LABEL.fullmatch, lower)):
            return sum(map(len, lower)) + len(lower) + len(name)
        labels = lower
    return 0


def find_internet_addresses(haystack: Haystack) -> Iterator[Span]:
    """Addresses of the Internet protocol, version 4 and 6, that are globally reachable."""
    text, codes = haystack.text, haystack.codes
    for start in _quads(codes).tolist():
        match = _QUAD.match(text, start)
        if match is None:
            continue
        octets = [int(octet) for octet in match.groups()]
        value = int.from_bytes(bytes(octets))
        before = text[max(0, start - _REACH) : start]
        special = any(value >> shift == network for network, shift in _SPECIAL)
        if special or (_VERSION.search(before) and not before.endswith(b"://")):
            continue
        if sorted(octets)[-2] > 9 or _ADDRESS.search(before):
            yield match.span()
    colons = np.flatnonzero(codes == ord(":"))
    colons = colons[colons >= 4]
    colons = colons[np.isin(codes[colons - 4], np.frombuffer(b"23", np.uint8))]
    for colon in colons.tolist():
        match = _SIXTEEN_BITS.match(text, colon - 4)
        if match is not None and _is_version_6(match[0]):
            yield match.span()


def _is_version_6(value: bytes) -> bool:
    """Whether it is the address of a host, and not one that is set apart for manuals (2001:db8::/32, RFC 3849)."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, value.decode())
    except OSError:
        return False
    return not packed.startswith(b"\x20\x01\x0d\xb8") and len(re.findall(rb"[0-9A-Fa-f]+", value)) > 2


def _quads(codes: Bytes) -> Ints:
    """Where the first of four numbers with single dots between them starts."""
    dots = np.flatnonzero(codes == ord("."))
    dots = dots[(dots > 0) & (dots < codes.size - 1)]
    dots = dots[_digit(codes[dots - 1]) & _digit(codes[dots + 1])]
    near = np.diff(dots) <= 4
    first = dots[:-2][near[:-1] & near[1:]] if dots.size > 2 else dots[:0]
    starts = first - 1
    for back in (2, 3):
        starts = np.where((first >= back) & (starts == first - back + 1) & _digit(codes[np.maximum(first - back, 0)]), first - back, starts)
    return starts


def _digit(codes: Bytes) -> np.ndarray:
    return codes - np.uint8(48) < 10
