"""The model: a *worker handler* is how Beam's local runner starts and stops one worker process: ours has a nursery begin it,
and leaves its end to the nursery. The environment's payload is the descriptor of the nursery's input.

Beam's own handlers wait for a worker's end without limit: if a job fails before the worker has connected, nobody ever tells
the worker to end, so the job hangs with its error untold.
"""

from __future__ import annotations

from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from apache_beam.transforms.environments import Environment, SubprocessSDKEnvironment

from pipelines.nursery import request


def environment(nursery: int) -> Environment:
    """Where Beam is to run our stages: on workers of a nursery, given by the descriptor of its input."""
    return SubprocessSDKEnvironment.from_command_string(str(nursery))


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class NurseryWorkerHandler(GrpcWorkerHandler):
    """Takes the place of Beam's own handler of worker processes."""

    def __init__(self, payload: bytes, *runner: Any) -> None:
        super().__init__(*runner)
        self._nursery = int(payload)

    def start_worker(self) -> None:
        # What a worker of Beam reads from its environment; its options are Beam's defaults, as ours are.
        request(self._nursery, {"CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{self.control_address}"', "WORKER_ID": self.worker_id})

    def stop_worker(self) -> None:
        """The closed connection has told the worker, if it has ever connected."""
