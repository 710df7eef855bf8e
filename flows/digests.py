"""The model: the *digest* of a value is 64 bits of its bytes: unequal digests are unequal values, and equal ones are equal values
but for one pair in 2^64. A column becomes an array of digests, several columns become one by *mixing*.

What is compared that way are two versions of one document, never all with all: the chance of a miss doesn't grow with pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

Digests = npt.NDArray[np.uint64]

_NULL = np.uint64(0x9E3779B97F4A7C15)
"""Any odd constant, so that a null is no empty value."""


def mixed(columns: Iterable[Digests], rows: int) -> Digests:
    """One digest a row from several: the order of columns counts."""
    total = np.zeros(rows, np.uint64)
    for column in columns:
        total = scramble(total ^ column)
    return total


def scramble(values: Digests) -> Digests:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): a bijection in which every bit of input moves every bit of output."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64, copy=False)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def column_digests(column: pa.Array) -> Digests:
    """uint64 [rows]: digests of strings, binaries, lists of numbers, numbers, and structs of these.

    Integers of other widths have equal digests where they are equal, so that a wider vocabulary makes no token another one.
    """
    if pa.types.is_struct(column.type):
        fields = [mixed([column_digests(field)], len(column)) for field in column.flatten()]
        found = mixed(fields, len(column))
    elif pa.types.is_null(column.type):
        found = np.zeros(len(column), np.uint64)
    elif _has_offsets(column.type):
        found = _of_slices(column)
    else:
        found = _of_numbers(column)
    if column.null_count:
        found = np.where(column.is_null().to_numpy(zero_copy_only=False), _NULL, found)
    return found


def _has_offsets(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(test(kind) for test in tests)


def _of_slices(column: pa.Array) -> Digests:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        values = column.values
        numbers = _numbers(values)
        offsets, data = column.offsets.to_numpy() * numbers.itemsize, memoryview(numbers.tobytes())
    else:
        _, places, content = column.buffers()
        width = np.int64 if str(column.type).startswith("large_") else np.int32
        offsets = np.frombuffer(places or b"\0" * 8, width)[column.offset : column.offset + len(column) + 1]
        data = memoryview(content or b"")
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(data[a:b]) for a, b in pairwise(offsets.tolist())), np.uint64, len(column))


def _of_numbers(column: pa.Array) -> Digests:
    if pa.types.is_fixed_size_binary(column.type):
        return np.fromiter((xxhash.xxh3_64_intdigest(value or b"") for value in column.to_pylist()), np.uint64, len(column))
    return scramble(_numbers(column).astype(np.uint64))


def _numbers(values: pa.Array) -> npt.NDArray[np.uint64 | np.uint32]:
    """Numbers as unsigned bits, 32 wide where the type fits and 64 elsewhere; nulls as 0."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    if values.null_count:
        values = values.fill_null(0)
    found = values.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        return found.astype(np.float32).view(np.uint32) if found.itemsize <= 4 else found.view(np.uint64)
    return found.astype(np.uint32 if found.itemsize <= 4 else np.uint64)
