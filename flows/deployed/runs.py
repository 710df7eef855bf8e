"""The model: a *run* as the terminal shows it: a flow run of a server, the step that it is at, and how far that is."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterParentTaskRunId,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort, LogSort
from prefect.states import Cancelled, Cancelling

from flows.progress import duration
from schemas.errors import RequestError

_FOUND = 200
"""Newest runs among which a name is looked up."""
_AHEAD = datetime.timedelta(seconds=30)
"""In which a runner begins what is due soon."""
_FOLLOW = 2.0
_PAGE = 200
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


@dataclass(frozen=True)
class Run:
    """A row of `gristmill flows`."""

    id: UUID
    name: str
    state: str
    message: str
    step: str | None
    progress: float | None
    """Of 100."""
    told: str
    """What the step says of its progress."""
    left: float | None
    """Seconds, by the rate since the step's progress was first told."""
    started: datetime.datetime | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        started = self.started.isoformat(timespec="seconds") if self.started else None
        about = {"id": str(self.id), "run": self.name, "state": self.state, "message": self.message, "started": started}
        left = round(self.left) if self.left is not None else None
        return about | {"seconds": round(self.seconds, 1), "step": self.step, "progress": self.progress, "told": self.told, "left": left}


def newest_runs(limit: int) -> list[Run]:
    """The newest runs that were started or are due, newest first; those that a schedule holds for later are left out."""
    with get_client(sync_client=True) as client:
        top = FlowRunFilterParentTaskRunId(is_null_=True)
        return [_described(client, run) for run in _newest(client, min(limit, _PAGE), FlowRunFilter(parent_task_run_id=top))]


def _newest(client: SyncPrefectClient, limit: int, wanted: FlowRunFilter) -> list[FlowRun]:
    """The newest runs whose time has come; what waits for its turn, or for another try, was due before, and is among them."""
    now = datetime.datetime.now(datetime.UTC)
    come = FlowRunFilterExpectedStartTime.model_validate({"before_": now + _AHEAD})
    only = wanted.model_copy(update={"expected_start_time": come})
    found = client.read_flow_runs(flow_run_filter=only, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit)
    return [run for run in found if not (run.state and run.state.name == "Scheduled" and (run.expected_start_time or now) > now)]


def _described(client: SyncPrefectClient, run: FlowRun) -> Run:
    step, progress, told, left = _at_work(client, run.id) if run.state and run.state.is_running() else (None, None, "", None)
    state = (run.state.name or run.state.type.value) if run.state else "?"
    message = (run.state.message or "") if run.state else ""
    spent = run.total_run_time.total_seconds() if run.state and run.state.is_final() else run.estimated_run_time.total_seconds()
    return Run(run.id, run.name, state, message, step, progress, told, left, run.start_time, spent)


def _at_work(client: SyncPrefectClient, run: UUID) -> tuple[str | None, float | None, str, float | None]:
    """The step that a run is at, or a flow that it runs, and its progress."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    running = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING])))
    tasks = client.read_task_runs(flow_run_filter=only, task_run_filter=running, limit=1)
    if not tasks:
        return None, None, "", None
    if tasks[0].state and (child := tasks[0].state.state_details.child_flow_run_id) is not None:
        return _at_work(client, child)
    shown = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=["progress"]))
    for artifact in client.read_artifacts(artifact_filter=shown, sort=ArtifactSort.CREATED_DESC, limit=_PAGE):
        if artifact.task_run_id == tasks[0].id and isinstance(artifact.data, (int, float)):
            share = float(artifact.data)
            spent = (artifact.updated - tasks[0].start_time).total_seconds() if artifact.updated and tasks[0].start_time else 0.0
            left = spent * (100.0 - share) / share if 0 < share < 100 else None
            return tasks[0].name, round(share, 1), (artifact.description or "").partition(": ")[2], left
    return tasks[0].name, None, "", None


def lines_of(runs: Sequence[Run]) -> Iterator[str]:
    """A line a run."""
    if not runs:
        yield "no runs yet"
    for run in runs:
        started = run.started.astimezone().strftime("%m-%d %H:%M") if run.started else ""
        line = f"{str(run.id)[:8]}  {run.name:<24} {run.state:<12} {started:<11} {duration(run.seconds):>12}"
        if run.step is not None:
            line += f"  {run.step}"
            line += f" {run.progress:.0f}%" if run.progress is not None else ""
            line += f", {duration(run.left)} left" if run.left is not None else ""
            line += f"  {run.told}" if run.told else ""
        elif run.message and run.state not in ("Completed",):
            line += f"  {run.message.splitlines()[0][:100]}"
        yield line.rstrip()


def find_run(named: str) -> FlowRun:
    """The newest run of a name, or the one whose id starts so. Raises `RequestError` if there is none, or more than one id starts so."""
    with get_client(sync_client=True) as client:
        found = _newest(client, _FOUND, FlowRunFilter())
    for run in found:
        if run.name == named:
            return run
    matches = [run for run in found if str(run.id).startswith(named.lower())]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RequestError(f"{named!r}: {len(matches)} runs have ids that start so: give more of it")
    known = ", ".join(repr(name) for name in list(dict.fromkeys(run.name for run in found))[:5])
    raise RequestError(f"there is no run {named!r} among the newest {_FOUND}; there is {known or 'none yet'}")


def log_of(run: FlowRun, follow: bool) -> Iterator[dict[str, str]]:
    """What a run said, oldest first; then, if asked to, what it says until it ends."""
    seen = 0
    with get_client(sync_client=True) as client:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
        while True:
            ended = not follow or bool((state := client.read_flow_run(run.id).state) and state.is_final())
            while page := client.read_logs(log_filter=wanted, limit=_PAGE, offset=seen, sort=LogSort.TIMESTAMP_ASC):
                seen += len(page)
                for log in page:
                    when = log.timestamp.astimezone().isoformat(sep=" ", timespec="seconds")
                    yield {"time": when, "level": _LEVELS.get(log.level, str(log.level)), "message": log.message}
            if ended:
                return
            time.sleep(_FOLLOW)


def cancel_run(run: FlowRun) -> str:
    """Cancel a run, at once if it has no process yet. Returns the state that it is in then. Raises `RequestError` if it has ended."""
    if run.state is None or run.state.is_final():
        raise RequestError(f"{run.name} ({str(run.id)[:8]}) has ended: {run.state.name if run.state else 'it has no state'}")
    waits = run.state.is_scheduled()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Cancelled(message="by hand") if waits else Cancelling(message="by hand"))
    return "cancelled" if waits else "cancelling: its processes get time for a checkpoint"
