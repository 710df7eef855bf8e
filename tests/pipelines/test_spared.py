"""A process that spares modules does its work without them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.pipelines.drafts import ROOT

PROGRAM = """
import sys
from pipelines.spared import SPARED, spare
spare()
import numpy
import pyarrow
import pipelines.transforms, pipelines.worker_handler
assert not SPARED & sys.modules.keys(), "nothing that is spared gets imported"
assert pyarrow.array(numpy.arange(2)).to_pylist() == [0, 1], "pyarrow looks for pandas, and does without"
"""


@pytest.mark.slow
def test_beam_and_pyarrow_do_without() -> None:
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", PROGRAM], cwd=ROOT, check=True, capture_output=True)
