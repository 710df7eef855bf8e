"""The model: a *compressor* knows nothing of a language but what stood before, and still gives text a length in bits: that of what it
writes. `gzip` looks back 32 KB, `zstd` at level 19 further than a held-out text is long.

All texts of a language are one stream, in their order, without a dictionary. Behind each text the stream is flushed, so that what was
written since is the text's own: that costs a few bytes a text, and is counted.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import zstandard

from model.metrics.metric import Floats


def compressed_nats(texts: Sequence[str]) -> dict[str, Floats]:
    """By compressor [texts] nats: as many as say the same as the bits that it writes."""
    return {name: compressed(texts) for name, compressed in (("gzip", _gzip), ("zstd", _zstd))}


def _gzip(texts: Sequence[str]) -> Floats:
    stream = zlib.compressobj(9, wbits=31)
    return _lengths(texts, lambda text: stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH), stream.flush)


def _zstd(texts: Sequence[str]) -> Floats:
    stream = zstandard.ZstdCompressor(level=19).compressobj()
    flush, end = zstandard.COMPRESSOBJ_FLUSH_BLOCK, zstandard.COMPRESSOBJ_FLUSH_FINISH
    return _lengths(texts, lambda text: stream.compress(text) + stream.flush(flush), lambda: stream.flush(end))


def _lengths(texts: Sequence[str], write: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> Floats:
    written = [len(write(text.encode())) for text in texts]
    written[-1] += len(finish())
    return np.array(written) * 8 * math.log(2)
