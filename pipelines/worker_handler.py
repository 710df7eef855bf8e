"""The model: a *worker handler* is how Beam's local runner starts and stops one worker process.

Beam 2.77 waits for a worker's end without limit. If a job fails before the worker has connected, nobody ever tells the
worker to end, so the job hangs with its error untold. Ours waits a while, then leaves the worker to die with us.
"""

from __future__ import annotations

from apache_beam.portability import python_urns
from apache_beam.runners.portability.fn_api_runner.worker_handlers import SubprocessSdkWorkerHandler, WorkerHandler

STOPPING = 20.0
"""Seconds that a worker gets to end by itself."""


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class PatientWorkerHandler(SubprocessSdkWorkerHandler):
    """Takes the place of Beam's own handler of worker processes."""

    def stop_worker(self) -> None:
        self.worker_thread.join(STOPPING)
