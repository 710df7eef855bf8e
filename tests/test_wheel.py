"""The model: the *wheel* holds the four packages with all their data files, and works in an environment that has nothing else."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
STOREYS = ("schemas", "pipelines", "model", "flows")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in files_of_the_checkout():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / path).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


def files_of_the_checkout() -> list[str]:
    found = (path.relative_to(ROOT) for storey in STOREYS for path in (ROOT / storey).rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if "__pycache__" not in path.parts)


@pytest.mark.slow
def test_it_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert sorted(names) == files_of_the_checkout()


@pytest.mark.slow
def test_its_metadata_carries_the_bounds(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]
    declared = list(map(Requirement, project["dependencies"]))
    assert {str(requirement) for requirement in required if not requirement.marker} == set(map(str, declared))
    assert all(requirement.specifier for requirement in declared), "a dependency without bounds"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["Version"] == project["version"]


RECIPE = """\
name: tiny
corpus:
  sources: [{name: notes, path: notes.txt, format: txt, unit: line, lang: en}]
  annotate: {en: {engine: plain}}
tokenizer: {vocab_size: 512}
"""


@pytest.mark.soak
def test_it_works_in_an_environment_that_has_nothing_else(wheel: Path, tmp_path: Path) -> None:
    """A plain `pip install`, as anybody would: no constraints, no extras, so the newest versions that the bounds allow.

    Takes the network and some minutes. The run starts Prefect's server, Beam's workers and the tokenizer.
    """
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", str(wheel)], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "notes.txt").write_text("".join(f"The miller grinds sack {n} of wheat, and then {n * 7} more.\n" for n in range(500)))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "GRISTMILL_", "PYTHONPATH"))}
    for arguments, expected in (
        (["--help"], "demo"),
        (["doctor"], "python"),
        (["ls"], "nothing in"),
        (["run", "tiny.yaml", "--until", "tokens"], "tokens"),
        (["audit", "documents/tiny"], "sound"),
    ):
        command = [tmp_path / "env" / "bin" / "gristmill", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout
