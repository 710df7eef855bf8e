"""The model: *runner options* say where a cluster is that the documents step's work is sent to, and how that begins our workers:
`run.runner` and `run.runner_options`, as Beam's own options, each with a string (`true` for those that Beam knows as flags).

Beam forgives options that it doesn't know, and each runner those of the others. Here both are errors, before anything is spent.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from schemas.errors import RequestError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner

_WHERE = {
    "flink": ("job_endpoint", "flink_master"),
    "spark": ("job_endpoint", "spark_master_url", "spark_rest_url"),
    "dataflow": ("project",),
}
"""Options of which one at least says where the cluster is; Beam would begin one of its own here, and download it."""
_NEEDED = {"dataflow": ("region", "temp_location", "sdk_container_image")}
_NOT_OURS = frozenset({"runner", "save_main_session", "no_save_main_session", "pickle_library", "gbek"})
"""What we set, or what would hold a secret."""
_CONTAINER = ("environment_config", "environment_option", "sdk_container_image")


def check_runner(runner: str, options: Mapping[str, str]) -> None:
    """Raises `RequestError` for an option that the runner doesn't have, a value that it doesn't take, one that is missing, and for a
    runner whose workers could not see the store."""
    if runner == "local":
        return
    beams_options(runner, options)
    if runner == "dataflow":
        raise RequestError(
            "run.runner: dataflow: its workers run where no folder of ours is, and a store can only be a folder so far (they commit by "
            "links of files, which object stores don't have). The options are right; take flink or spark on machines that mount the store"
        )


def beams_options(runner: str, options: Mapping[str, str]) -> PipelineOptions:
    """What Beam makes of the options. Raises `RequestError` as `check_runner` does."""
    known = _known(runner)
    flags = []
    for name, value in options.items():
        if name in _NOT_OURS or name not in known:
            near = ", ".join(sorted(set(known) - _NOT_OURS))
            raise RequestError(f"run.runner_options.{name}: {runner} has no such option that may be set; it has {near}")
        flags.append(_flag(known[name], name, value))
    _check_complete(runner, options)
    parsed = _beam().PipelineOptions(flags=flags, save_main_session=False)
    parsed.get_all_options()  # reads the values
    return parsed


def cluster(runner: str) -> PipelineRunner:
    """Beam's runner of that name."""
    if runner == "flink":
        from apache_beam.runners.portability.flink_runner import FlinkRunner

        return FlinkRunner()
    from apache_beam.runners.portability.spark_runner import SparkRunner

    return SparkRunner()


def _known(runner: str) -> dict[str, argparse.Action]:
    """Beam's options of a runner and of what surrounds it, by name."""
    beams = _beam()
    portable = (beams.PortableOptions, beams.JobServerOptions)
    of = {
        "flink": (beams.FlinkRunnerOptions, *portable),
        "spark": (beams.SparkRunnerOptions, *portable),
        "dataflow": (beams.GoogleCloudOptions, beams.WorkerOptions),
    }
    parser = _Parser(add_help=False, allow_abbrev=False)
    for section in of[runner]:
        section._add_argparse_args(cast(Any, parser))  # its own class of parser, of which this has what counts
    if runner != "dataflow":
        parser.add_argument("--sdk_container_image")
    return {action.option_strings[0].removeprefix("--"): action for action in parser._actions}


def _beam() -> Any:
    """Beam's module of options. It warns about what it doesn't find on its way, which nobody asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        from apache_beam.options import pipeline_options

        return pipeline_options
    finally:
        logging.disable(before)


class _Parser(argparse.ArgumentParser):
    """As Beam's, whose options may be given later; here a recipe gives them all."""

    def add_value_provider_argument(self, name: str, **about: object) -> None:
        self.add_argument(name, help=str(about.get("help", "")), type=str)


def _flag(action: argparse.Action, name: str, value: str) -> str:
    if action.nargs == 0:
        if value != "true":
            raise RequestError(f"run.runner_options.{name}: is on or not there: give 'true', or leave it out")
        return f"--{name}"
    try:
        if callable(action.type):
            action.type(value)
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise RequestError(f"run.runner_options.{name}: {value!r}: {error}") from error
    if action.choices is not None and value not in action.choices:
        raise RequestError(f"run.runner_options.{name}: {value!r} is none of {', '.join(map(str, action.choices))}")
    return f"--{name}={value}"


def _check_complete(runner: str, options: Mapping[str, str]) -> None:
    where = _WHERE[runner]
    if not any(name in options for name in where):
        raise RequestError(f"run.runner_options: {runner} is where? give {' or '.join(where)}")
    missing = [name for name in _NEEDED.get(runner, ()) if name not in options]
    if missing:
        raise RequestError(f"run.runner_options: {runner} needs {' and '.join(missing)} too")
    if runner != "dataflow" and options.get("environment_type", "DOCKER") == "DOCKER" and not any(name in options for name in _CONTAINER):
        raise RequestError(
            "run.runner_options: Beam's own containers don't have gristmill in them: give environment_type EXTERNAL with "
            "environment_config (the address of a worker pool), or sdk_container_image; see docs/deploying.md"
        )
