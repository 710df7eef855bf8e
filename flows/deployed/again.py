"""The model: a task is tried *again* where another try can help: a process that died, a network or a disk that was away, a lease that was
lost. What is wrong with a recipe, a file or an artifact stays wrong. A flow run whose process died goes on by itself, as often as `TRIES`:
all its steps are found as far as they had come.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from prefect import Flow, Task, get_client
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.logging.loggers import flow_run_logger
from prefect.states import AwaitingRetry
from prefect.tasks import exponential_backoff

from flows.launch import ChildFailed, OutOfTime
from flows.server import ServerFailed
from schemas.faults import is_full
from schemas.lease import LeaseLost

TRIES = 3
"""Of a flow run whose process died, and of a task."""
FIRST_WAIT = 10
"""Seconds; each further wait is twice as long, and all vary by up to half."""

OPTIONS: dict[str, Any] = {"retries": TRIES - 1, "retry_delay_seconds": exponential_backoff(FIRST_WAIT), "retry_jitter_factor": 0.5}


def can_help(error: BaseException) -> bool:
    """Whether another try may end otherwise."""
    if isinstance(error, ChildFailed):
        return not error.told and not isinstance(error, OutOfTime)
    return isinstance(error, (OSError, ServerFailed, LeaseLost)) and not isinstance(error, FileNotFoundError) and not is_full(error)


def retry_condition(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect asks this before it tries a task again."""
    try:
        state.result()
    except BaseException as error:
        return can_help(error)
    return False


def go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect calls this when the process of a flow run died: let the run go on, in a while."""
    say: Callable[..., None] = flow_run_logger(flow_run, flow).warning
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run.id)  # it may have been cancelled, or have been let go on by another one
        if run.state is None or not run.state.is_crashed():
            return
        if run.run_count >= TRIES:
            say("its process died %d times: it is given up", run.run_count)
            return
        wait = FIRST_WAIT * 2 ** max(run.run_count - 1, 0)
        when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=wait)
        again: State[Any] = AwaitingRetry(
            scheduled_time=when, message=f"Its process died. It goes on, from what is there: try {run.run_count + 1}"
        )
        client.set_flow_run_state(flow_run.id, again, force=True)
        say("its process died; it goes on in %d s", wait)
