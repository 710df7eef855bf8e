"""The model: the few file operations that commits rest on: `create` fails if the file exists, `replace` is atomic,
and both are durable (synced, folder included) when they return.

`create` writes a temporary file and links it to its name: the link is atomic, and fails if the name is taken.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path


def create(path: Path, content: bytes) -> bool:
    """Create a file with its content, atomically; False (and nothing changed) if the name is taken."""
    temporary = _write_beside(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Create a file or replace it, atomically."""
    os.replace(_write_beside(path, content), path)
    sync_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # a full disk, most likely: leave no half a file there
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return temporary


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    sync_file(path)


def remove_tree(path: Path) -> None:
    """Remove a folder with all in it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
