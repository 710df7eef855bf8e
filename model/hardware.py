"""The model: *hardware* is what a machine has: a compiler that works, a CPU, memory. What a rank computes on is in `model.device`."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import torch

_TRIAL = "#include <Python.h>\n#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n"


def compiler_problem() -> str | None:
    """Why torch.compile can't work here, in one line; None if a tiny trial of the C++ compiler succeeds."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # as torch.compile chooses
    compiler = shutil.which(name)
    if compiler is None:
        return f"there is no C++ compiler ({name})"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "trial.cpp")
        source.write_text(_TRIAL)
        include = sysconfig.get_paths()["include"]
        command = [compiler, "-fopenmp", "-fPIC", "-shared", f"-I{include}", str(source), "-o", str(Path(folder, "trial.so"))]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line]
        return f"{name} does not compile a trial: {lines[0].strip() if lines else f'exit {result.returncode}'}"
    return None


def cpu_name() -> str:
    """Model and vector instructions of this machine's CPU."""
    return f"{_cpu_name()} ({torch.backends.cpu.get_cpu_capability()})"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_bytes() -> int:
    """The most memory that this process held. Where there is no /proc, a process that a larger one started seems as large as that was."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
