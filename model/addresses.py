"""The model: *addresses* are a reserved range of this process's memory into which files are mapped side by side, so that one
array spans them all. A reserved page takes no memory; touching one that no file is mapped to ends the process.

After each file comes a *margin* of readable zeros, so that a reader may overshoot a file's end a little.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MARGIN = mmap.PAGESIZE
_MAP_FIXED = 0x10  # Linux and macOS; Python's mmap has no name for it
_PROT_NONE = 0
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def room(size: int) -> int:
    """Bytes of addresses that a file of ``size`` bytes takes: whole pages, and its margin."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE + MARGIN


class Addresses:
    """A reserved range. It is given back when no array over it is left."""

    def __init__(self, size: int) -> None:
        self._base = self._map(None, size, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
        whole = (ctypes.c_uint8 * size).from_address(self._base)
        weakref.finalize(whole, _libc.munmap, self._base, size)
        self.bytes: NDArray[np.uint8] = np.ctypeslib.as_array(whole)
        self.bytes.flags.writeable = False

    def map(self, start: int, file: BinaryIO, size: int) -> NDArray[np.uint8]:
        """Map the first ``size`` bytes of a file to ``start`` (a multiple of the page size); return them, read-only."""
        self._map(self._base + start, size, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, file.fileno())
        margin = start + room(size) - MARGIN
        self._map(self._base + margin, MARGIN, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED, -1)
        return self.bytes[start : start + size]

    def unmap(self, start: int, size: int) -> None:
        """Let go of the file of ``size`` bytes at ``start``; its addresses stay reserved."""
        self._map(self._base + start, room(size), _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED, -1)

    @staticmethod
    def _map(address: int | None, size: int, access: int, flags: int, descriptor: int) -> int:
        found: int = _libc.mmap(address, size, access, flags, descriptor, 0)
        if found == _FAILED:
            error = ctypes.get_errno()
            raise OSError(error, f"mmap of {size:,} bytes: {os.strerror(error)}")
        return found
