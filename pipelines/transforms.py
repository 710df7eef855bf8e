"""The model: the corpus job's stages as Beam transforms. Splits go in as ordinals; what crosses a shuffle is handles.

    splits -> PrepareSplit -> by partition -> FindDuplicates (-> FindParts) -> by split -> FinishSplit -> keys

Every transform names its types: without them Beam pickles elements, and custom coders don't reach the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import apache_beam as beam

from pipelines.dedup import LOSERS, find_losers
from pipelines.dedup.parts import find_parts
from pipelines.finish import finish_split
from pipelines.job import Handle
from pipelines.opened import opened
from pipelines.prepare import prepare_split

HandleFields: TypeAlias = tuple[str, int, str, int, int, str]
"""A `Handle`, field by field: coded as numbers and strings, never pickled."""
Keyed: TypeAlias = tuple[int, HandleFields]
Grouped: TypeAlias = tuple[int, Iterable[HandleFields]]


def _fields(handle: Handle) -> HandleFields:
    return (handle.kind, handle.split, handle.path, handle.offset, handle.rows, handle.digest)


class _OnDraft(beam.DoFn):
    """A stage that works on a draft."""

    def __init__(self, draft: str) -> None:
        self._draft = draft

    def setup(self) -> None:
        self._job, self._annotators = opened(self._draft)


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(int)
class Deal(beam.DoFn):
    """One impulse -> the ordinals of all splits, in an order that stands: `beam.Create` lets workers share them out first."""

    def __init__(self, order: list[int]) -> None:
        self._order = order

    def process(self, impulse: bytes) -> Iterator[int]:
        yield from self._order


@beam.typehints.with_input_types(int)
@beam.typehints.with_output_types(Keyed)
class PrepareSplit(_OnDraft):
    """Ordinal of a split -> (partition, handle) of its runs."""

    def process(self, ordinal: int) -> Iterator[Keyed]:
        if ordinal >= 0:
            for partition, handle in prepare_split(self._job, ordinal):
                yield partition, _fields(handle)


class _ForEverySplit(_OnDraft):
    """A stage that has something to say to every split, and says so in the order in which splits are finished.

    A group's place, and with it its worker, is where its key came first: that is how splits get placed. (A Flatten
    would deal the handles anew, so there is none.)
    """

    def __init__(self, draft: str, order: list[int]) -> None:
        super().__init__(draft)
        self._order = order

    def _say(self, found: list[tuple[int, Handle]]) -> Iterator[Keyed]:
        by_split: dict[int, list[Handle]] = {split: [] for split in self._order}
        for split, handle in found:
            by_split[split].append(handle)
        for split, handles in by_split.items():
            yield from ((split, _fields(handle)) for handle in handles or [Handle("none", split, "", 0, 0, "")])


@beam.typehints.with_input_types(Grouped)
@beam.typehints.with_output_types(Keyed)
class FindDuplicates(_ForEverySplit):
    """(Partition, handles of runs) -> (split, handle) of losers."""

    def process(self, group: Grouped) -> Iterator[Keyed]:
        partition, handles = group
        yield from self._say(find_losers(self._job, partition, list(map(Handle._make, handles))))


@beam.typehints.with_input_types(Grouped, Iterable[Keyed])
@beam.typehints.with_output_types(Keyed)
class FindParts(_ForEverySplit):
    """(Partition, handles of runs), with all losers beside -> (split, handle) of parts to cut; the first partition passes the losers on."""

    def process(self, group: Grouped, losers: Iterable[Keyed]) -> Iterator[Keyed]:
        partition, handles = group
        lost = [(split, Handle._make(handle)) for split, handle in losers if handle[0] in LOSERS]
        by_split: dict[int, list[Handle]] = {}
        for split, handle in lost:
            by_split.setdefault(split, []).append(handle)
        found = find_parts(self._job, partition, list(map(Handle._make, handles)), by_split)
        yield from self._say([*found, *lost] if partition == 0 else found)


@beam.typehints.with_input_types(Grouped)
@beam.typehints.with_output_types(str)
class FinishSplit(_OnDraft):
    """(Split, handles of its losers and of parts to cut) -> key of its part record."""

    def process(self, group: Grouped) -> Iterator[str]:
        ordinal, handles = group
        if ordinal >= 0:
            yield finish_split(self._job, ordinal, list(map(Handle._make, handles)), self._annotators)


def corpus(pipeline: beam.Pipeline, draft: str, *, prepare: list[int], finish: list[int], cut_parts: bool) -> beam.PCollection[str]:
    """The whole job; `prepare` and `finish` are the ordinals of all splits in the order in which they are dealt to workers.

    Negative ordinals fill the turns of workers that have nothing left to do.
    """
    runs = (
        pipeline
        | beam.Impulse()
        | "splits" >> beam.ParDo(Deal(prepare))
        | "deal" >> beam.Reshuffle()
        | "prepare" >> beam.ParDo(PrepareSplit(draft))
        | "by partition" >> beam.GroupByKey()
    )
    handles = runs | "duplicates" >> beam.ParDo(FindDuplicates(draft, finish))
    if cut_parts:
        handles = runs | "parts" >> beam.ParDo(FindParts(draft, finish), beam.pvalue.AsList(handles))
    return handles | "by split" >> beam.GroupByKey() | "finish" >> beam.ParDo(FinishSplit(draft))
