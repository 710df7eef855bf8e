"""What is deployed, without a server: the table and its file for work pools, what is tried again, and time limits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.deployed.again import can_help
from flows.deployed.pools import HEAD, KINDS, description
from flows.deployed.table import TABLE
from flows.launch import ChildFailed, OutOfTime, run_child
from flows.place import served_at, serving_alone, tell
from flows.published import PublishedProgress
from schemas.artifact import Damaged
from schemas.errors import RequestError
from schemas.lease import LeaseLost
from schemas.recipe import Run

POOLS = Path(__file__).parents[2] / "infra" / "prefect.yaml"


def test_the_file_for_pools_says_what_the_table_says() -> None:
    text = POOLS.read_text()
    assert text.startswith(HEAD)
    assert yaml.safe_load(text) == description()
    listed = PrefectYamlModel.model_validate(yaml.safe_load(text)).deployments
    assert len(listed) == len(TABLE) * len(KINDS)
    for one in listed:
        flow = load_flow_from_entrypoint(str(one.entrypoint))
        assert set(one.parameters or {}) <= set(parameter_schema(flow).properties)
        assert flow.name in (one.tags or ())


def test_every_parameter_is_documented() -> None:
    for row in TABLE:
        schema = parameter_schema(row.flow)
        assert all(one.get("description", "").endswith((".", ")", "12h.")) for one in schema.properties.values()), row.name
        assert set(schema.required) <= {"recipe", "store"}


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (ChildFailed("killed"), True),
        (ChildFailed("error: no such column", told=True), False),
        (OutOfTime("too long"), False),
        (ConnectionError("away"), True),
        (LeaseLost("taken"), True),
        (RequestError("wrong"), False),
        (Damaged("torn"), False),
        (FileNotFoundError("gone"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_only_what_another_try_can_mend_is_tried_again(error: Exception, helps: bool) -> None:
    assert can_help(error) is helps


def test_a_time_limit_ends_the_work(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(OutOfTime, match=r"ended after 1 s \(run.time_limit\)"):
        run_child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log.txt", lambda: None, limit=1)
    assert time.monotonic() - started < 20


def test_time_limits_are_of_steps() -> None:
    run = Run.model_validate({"time_limit": {"pretrain": 60}})
    assert (run.limit_of("pretrain"), run.limit_of("tokens")) == (60.0, None)
    with pytest.raises(ValueError, match="time_limit"):
        Run.model_validate({"time_limit": {"cooking": 60}})


def test_a_place_is_of_one(tmp_path: Path) -> None:
    assert served_at(tmp_path) is None
    with serving_alone(tmp_path):
        tell(tmp_path, "http://127.0.0.1:1/api")
        assert served_at(tmp_path) == "http://127.0.0.1:1/api"
        with pytest.raises(RequestError, match="another gristmill serve is at work here, process"), serving_alone(tmp_path):
            pass
    assert served_at(tmp_path) is None


def test_progress_without_a_server_holds_nothing_up() -> None:
    with PublishedProgress("key", "about"):  # nothing was told: nothing is asked of anyone
        pass
