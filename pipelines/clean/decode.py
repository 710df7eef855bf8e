from __future__ import annotations


class Undecodable(ValueError):
    """Bytes that are not text in the given encoding; `detail` names the encoding and the byte offset."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def decode(raw: bytes, encoding: str) -> str:
    """`raw` as text, strictly. Raises `Undecodable` naming the first byte offset that is wrong."""
    raise NotImplementedError


def detect_encoding(head: bytes, declared: str | None) -> str:
    """The encoding of a file, as a Python codec name, from its first bytes (64 KiB are enough)."""
    raise NotImplementedError
