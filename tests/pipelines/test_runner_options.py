"""Other runners than the local one: which options they take, and the way that a job goes to a cluster and back.

There is no Flink or Spark here. What they do with a job is done by Beam's job server in Python, which speaks the same protocol, and by its
pool of workers in a process of its own: so all is tried but their engines.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from apache_beam.options import pipeline_options as beams
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipelines.runner_options import beams_options, check_runner
from schemas.errors import RequestError
from schemas.recipe import Corpus, Run
from tests.pipelines.drafts import ROOT, command, digests, ledgers, make, run_command, source, start

POOL = {"environment_type": "EXTERNAL", "environment_config": "localhost:50000"}


@pytest.mark.parametrize(
    ("runner", "options"),
    [
        ("flink", {"flink_master": "flink:8081", "parallelism": "8", **POOL}),
        ("flink", {"job_endpoint": "jobs:8099", "artifact_endpoint": "jobs:8098", "sdk_worker_parallelism": "2", **POOL}),
        ("flink", {"flink_master": "flink:8081", "flink_submit_uber_jar": "true", "flink_version": "1.20", **POOL}),
        ("flink", {"flink_master": "flink:8081", "environment_type": "DOCKER", "sdk_container_image": "gristmill:beam"}),
        (
            "flink",
            {"flink_master": "flink:8081", "environment_type": "PROCESS", "environment_config": '{"command": "/opt/apache/beam/boot"}'},
        ),
        ("flink", {"flink_master": "[local]", "environment_type": "LOOPBACK"}),
        ("spark", {"spark_master_url": "spark://spark:7077", **POOL}),
        ("spark", {"spark_rest_url": "http://spark:6066", "spark_submit_uber_jar": "true", **POOL}),
        ("spark", {"job_endpoint": "jobs:8099", "environment_cache_millis": "600000", **POOL}),
    ],
)
def test_sets_of_options_are_what_beam_makes_of_them(runner: str, options: dict[str, str]) -> None:
    check_runner(runner, options)
    parsed = beams_options(runner, options).get_all_options(drop_default=True)
    for name, value in options.items():
        assert str(parsed[name]).lower() == value.lower() or (name == "flink_master" and parsed[name] == value)
    assert Run(runner=runner, runner_options=options).runner_options == options


DATAFLOW = {"project": "p", "region": "europe-west1", "temp_location": "gs://b/tmp", "sdk_container_image": "r/gristmill:beam"}


def test_dataflow_is_refused_once_its_options_are_right() -> None:
    parsed = beams_options("dataflow", {**DATAFLOW, "max_num_workers": "40"})
    assert parsed.view_as(beams.WorkerOptions).max_num_workers == 40
    assert parsed.view_as(beams.GoogleCloudOptions).region == "europe-west1"
    with pytest.raises(RequestError, match="a store can only be a folder so far"):
        check_runner("dataflow", DATAFLOW)
    with pytest.raises(RequestError, match="dataflow needs temp_location and sdk_container_image too"):
        check_runner("dataflow", {"project": "p", "region": "europe-west1"})


@pytest.mark.parametrize(
    ("runner", "options", "said"),
    [
        ("flink", {"flink_masters": "flink:8081"}, r"run.runner_options.flink_masters: flink has no such option"),
        ("flink", {"spark_master_url": "spark:7077"}, r"run.runner_options.spark_master_url: flink has no such option"),
        ("flink", {"flink_master": "flink:8081", "save_main_session": "true"}, r"save_main_session: flink has no such option"),
        ("flink", {**POOL}, r"flink is where\? give job_endpoint or flink_master"),
        ("spark", {**POOL}, r"spark is where\? give job_endpoint or spark_master_url or spark_rest_url"),
        ("flink", {"flink_master": "flink:8081"}, r"Beam's own containers don't have gristmill in them"),
        ("flink", {"flink_master": "flink:8081", "parallelism": "many", **POOL}, r"parallelism: 'many'"),
        ("spark", {"job_endpoint": "a:1", "spark_submit_uber_jar": "yes", **POOL}, r"give 'true', or leave it out"),
    ],
)
def test_what_a_runner_does_not_take_is_named(runner: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        check_runner(runner, options)


def test_the_local_runner_takes_no_options() -> None:
    check_runner("local", {})
    with pytest.raises(ValueError, match="runner is local"):
        Run(runner_options={"flink_master": "flink:8081"})


@dataclass(frozen=True)
class Cluster:
    """A job server and a pool of workers."""

    job_port: int
    pool_port: int

    @property
    def options(self) -> dict[str, str]:
        pool = {"environment_type": "EXTERNAL", "environment_config": f"localhost:{self.pool_port}"}
        return {"job_endpoint": f"localhost:{self.job_port}", **pool}

    def states(self) -> list[str]:
        """Of all jobs that it was given."""
        with grpc.insecure_channel(f"localhost:{self.job_port}") as channel:
            jobs = beam_job_api_pb2_grpc.JobServiceStub(channel).GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info
        return [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in jobs]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(free_port(), free_port())
    places = ("apache_beam.runners.portability.local_job_service_main", "apache_beam.runners.worker.worker_pool_main")
    options = (["--port", str(found.job_port)], ["--service_port", str(found.pool_port)])
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # the pool starts `python`
    processes = []
    for place, said in zip(places, options, strict=True):
        with open(folder / f"{place}.log", "wb") as log:
            started = [sys.executable, "-m", "schemas.process", str(os.getpid()), sys.executable, "-m", place, *said]
            processes.append(subprocess.Popen(started, stdout=log, stderr=log, cwd=ROOT, env=environment, start_new_session=True))
    for port in (found.job_port, found.pool_port):
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=120)
    yield found
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def write(folder: Path, notes: int) -> Path:
    folder.mkdir()
    for n in range(notes):
        (folder / f"{n}.txt").write_text(f"Note {n % (notes - 3)} says what happened on this day, and why it was worth a word or two.\n")
    return folder


SETTINGS = Corpus(sources=(source(),), split_bytes=400)


@pytest.mark.slow
def test_a_job_that_goes_to_a_cluster_gives_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    roots = {"s": write(tmp_path / "in", 20)}
    here, there = make(tmp_path / "here", SETTINGS, roots), start(tmp_path / "there", SETTINGS, roots)
    there.assign(inputs={}, roots={"s": str(roots["s"])}, run={"workers": 2, "runner": "flink", "runner_options": cluster.options})
    done = run_command(there)
    assert done.returncode == 0, done.stderr
    assert digests(there) == digests(here)
    assert ledgers(there)["s"].records_read == 20
    assert cluster.states()[-1] == "DONE"


@pytest.mark.slow
def test_a_job_ends_on_the_cluster_when_it_ends_here(cluster: Cluster, tmp_path: Path) -> None:
    roots = {"s": write(tmp_path / "in", 800)}
    draft = start(tmp_path / "draft", SETTINGS, roots)
    draft.assign(inputs={}, roots={"s": str(roots["s"])}, run={"workers": 2, "runner": "spark", "runner_options": cluster.options})
    before = len(cluster.states())
    job = subprocess.Popen(command(draft), cwd=ROOT)
    while cluster.states()[before:] != ["RUNNING"] or not any(draft.parts("prepare")):
        assert job.poll() is None
        time.sleep(0.1)
    job.terminate()
    assert job.wait() == 128 + signal.SIGTERM
    assert cluster.states()[before:] == ["CANCELLED"]
    assert len(list(draft.parts("finish"))) < len(draft.plan["splits"])
