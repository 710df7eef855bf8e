"""The model: a *signature* proves that who sends a request knows a *secret*, and when it was made:

    Gristmill-Signature: t=TIME,v1=HEX        HEX is HMAC-SHA256(secret, TIME + "." + PATH + "." + BODY), TIME seconds of the Unix clock

The form is Stripe's (docs.stripe.com/webhooks/signature), as is the tolerance of 300 seconds. PATH (`/hooks/mine`) is signed, too: a
request can't be sent to another place. Within the tolerance, a *ledger* of files that are created once keeps a request from being taken
twice, whoever serves, and whenever he was started.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import RequestError
from schemas.files import create

HEADER = "Gristmill-Signature"
VARIABLE = "GRISTMILL_HOOK_SECRET"
TOLERANCE = 300
"""Seconds that a signature may be older or newer than now."""
_FEWEST = 16
"""Characters of a secret."""
_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class Unsigned(Exception):
    """A request whose signature proves nothing; the message says what to do."""


class Repeated(Exception):
    """A request that was taken before."""


def secrets() -> tuple[bytes, ...]:
    """Those of the environment, commas between them; none: nobody can sign. Raises `RequestError` for one that can be guessed."""
    found = [one.strip() for one in os.environ.get(VARIABLE, "").split(",") if one.strip()]
    if any(len(one) < _FEWEST for one in found):
        raise RequestError(f"{VARIABLE}: a secret has less than {_FEWEST} characters: take `openssl rand -hex 32`")
    return tuple(one.encode() for one in found)


def sign(secret: bytes, time: int, path: str, body: bytes) -> str:
    """The header of a request.

    >>> sign(b"secret", 1700000000, "/hooks/mine", b"{}")[:30]
    't=1700000000,v1=f4043046a6598d'
    """
    return f"t={time},v1={_code(secret, str(time), path, body)}"


def fresh(header: str | None, now: float) -> tuple[str, str]:
    """Time and code of a header, both unproved: what can be refused before a body is read. Raises `Unsigned`."""
    parsed = _FORM.fullmatch(header or "")
    if parsed is None:
        raise Unsigned(f"sign the request: {HEADER}: t=TIME,v1=HEX")
    if abs(now - int(parsed[1])) > TOLERANCE:
        raise Unsigned(f"the signature is {abs(now - int(parsed[1])):.0f} s from now, more than {TOLERANCE}: sign anew, and set the clock")
    return parsed[1], parsed[2]


def check(secrets: Sequence[bytes], header: str | None, path: str, body: bytes, now: float) -> str:
    """The signature of a request, which names it. Raises `Unsigned`."""
    time, given = fresh(header, now)
    known = [hmac.compare_digest(_code(secret, time, path, body), given) for secret in secrets]  # all, so that time tells nothing
    if not any(known):
        raise Unsigned(f"it is not the signature of this path and body by a secret of {VARIABLE}: sign both, as they are sent")
    return f"{time}-{given}"


def take(ledger: Path, signature: str, now: float) -> None:
    """Write down a signature that was checked, and forget those that are too old to be good again. Raises `Repeated`."""
    ledger.mkdir(parents=True, exist_ok=True)
    if not create(ledger / signature, b""):
        raise Repeated("this request was taken before: there is nothing to do; sign anew to ask again")
    for path in ledger.iterdir():
        time = path.name.partition("-")[0]
        if time.isdecimal() and now - int(time) > 2 * TOLERANCE:
            path.unlink(missing_ok=True)


def _code(secret: bytes, time: str, path: str, body: bytes) -> str:
    return hmac.new(secret, b".".join((time.encode(), path.encode(), body)), hashlib.sha256).hexdigest()
