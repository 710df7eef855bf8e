"""The model: the corpus job's stages as Beam transforms. Splits go in as ordinals; what crosses a shuffle is handles.

    splits -> PrepareSplit -> by partition -> FindDuplicates (-> FindSharedLines) -> by split -> FinishSplit -> keys

Every transform names its types: without them Beam pickles elements, and custom coders don't reach the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import apache_beam as beam

from pipelines.dedup.exact import find_duplicates
from pipelines.dedup.lines import find_shared_lines
from pipelines.finish import Annotators, finish_split
from pipelines.job import Handle, Job
from pipelines.prepare import prepare_split

HandleFields: TypeAlias = tuple[str, int, str, int, int, str]
"""A `Handle`, field by field: coded as numbers and strings, never pickled."""
Keyed: TypeAlias = tuple[int, HandleFields]
Grouped: TypeAlias = tuple[int, Iterable[HandleFields]]


def _fields(handle: Handle) -> HandleFields:
    return (handle.kind, handle.split, handle.path, handle.offset, handle.rows, handle.digest)


class _OnDraft(beam.DoFn):
    """A stage that opens the job of a draft, once a process."""

    def __init__(self, draft: str) -> None:
        self._draft = draft

    def setup(self) -> None:
        self._job = Job.open(self._draft)


@beam.typehints.with_input_types(int)
@beam.typehints.with_output_types(Keyed)
class PrepareSplit(_OnDraft):
    """Ordinal of a split -> (partition, handle) of its runs."""

    def process(self, ordinal: int) -> Iterator[Keyed]:
        for partition, handle in prepare_split(self._job, ordinal):
            yield partition, _fields(handle)


@beam.typehints.with_input_types(Grouped)
@beam.typehints.with_output_types(Keyed)
class FindDuplicates(_OnDraft):
    """(Partition, handles of runs) -> (split, handle) of losers."""

    def process(self, group: Grouped) -> Iterator[Keyed]:
        partition, handles = group
        runs = [run for run in map(Handle._make, handles) if run.kind == "digests"]
        for split, handle in find_duplicates(self._job, partition, runs):
            yield split, _fields(handle)


@beam.typehints.with_input_types(Grouped, Iterable[Keyed])
@beam.typehints.with_output_types(Keyed)
class FindSharedLines(_OnDraft):
    """(Partition, handles of runs), with all losers beside -> (split, handle) of lines to cut."""

    def process(self, group: Grouped, losers: Iterable[Keyed]) -> Iterator[Keyed]:
        partition, handles = group
        runs = [run for run in map(Handle._make, handles) if run.kind == "lines"]
        by_split: dict[int, list[Handle]] = {}
        for split, handle in losers:
            by_split.setdefault(split, []).append(Handle._make(handle))
        for split, found in find_shared_lines(self._job, partition, runs, by_split):
            yield split, _fields(found)


@beam.typehints.with_input_types(Grouped)
@beam.typehints.with_output_types(str)
class FinishSplit(_OnDraft):
    """(Split, handles of its losers and shared lines) -> key of its part record."""

    def setup(self) -> None:
        super().setup()
        self._annotators = Annotators(self._job.settings)

    def process(self, group: Grouped) -> Iterator[str]:
        ordinal, handles = group
        yield finish_split(self._job, ordinal, list(map(Handle._make, handles)), self._annotators)


def no_handle(ordinal: int) -> Keyed:
    """A split with nothing to drop still has to be finished: an empty handle brings it to its group."""
    return ordinal, _fields(Handle("none", ordinal, "", 0, 0, ""))


def corpus(pipeline: beam.Pipeline, draft: str, *, prepare: list[int], finish: list[int], cut_lines: bool) -> beam.PCollection[str]:
    """The whole job; `prepare` and `finish` are the ordinals of all splits, each in the order in which it deals them to workers."""
    runs = (
        pipeline
        | "splits" >> beam.Create(prepare, reshuffle=False)
        | "deal" >> beam.Reshuffle()
        | "prepare" >> beam.ParDo(PrepareSplit(draft))
        | "by partition" >> beam.GroupByKey()
    )
    losers = runs | "duplicates" >> beam.ParDo(FindDuplicates(draft))
    # This Create runs first of all, so a group's place, and with it the worker, is the split's place in `finish`.
    every = pipeline | "all splits" >> beam.Create(finish, reshuffle=False) | "to finish" >> beam.Map(no_handle).with_output_types(Keyed)
    handles = [every, losers]
    if cut_lines:
        handles.append(runs | "shared lines" >> beam.ParDo(FindSharedLines(draft), beam.pvalue.AsList(losers)))
    return handles | beam.Flatten() | "by split" >> beam.GroupByKey() | "finish" >> beam.ParDo(FinishSplit(draft))
