"""The model: a *remote* source lies at a URL: one file, a folder with all that is below it, or a glob. Web servers list a folder
by a page of links; what leads out of the folder is not followed.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Iterator
from typing import Any

import fsspec

from pipelines.places import as_os_error, exists, is_folder, is_web, remote_folder
from schemas.errors import RequestError
from schemas.recipe import Source


def find_remote(source: Source, root: str) -> dict[str, str | None]:
    """Relative path of each input of a source at a URL, and why it can't be read (None: it can).

    Raises `OSError` if there is nothing at the URL, `RequestError` if a package or a known protocol is missing for it.
    """
    try:
        files, path = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise RequestError(f"source {source.name!r}: {root}: {error}") from error
    with as_os_error(root):
        _, folder = remote_folder(root)
        if is_folder(files, path):
            found = dict(_below(files, folder))
            wanted = {name for name in found if any(fnmatch.fnmatchcase(name.rpartition("/")[2], pattern) for pattern in source.include)}
        elif exists(files, path):
            return {path[len(folder) + 1 :]: None}
        elif glob.has_magic(path):
            found = {name: None for name, entry in files.glob(path, detail=True).items() if entry["type"] != "directory"}
            wanted = set(found)
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
    uris = {name[len(folder) + 1 :]: found[name] for name in wanted}
    return {uri: problem for uri, problem in uris.items() if not any(fnmatch.fnmatchcase(uri, pattern) for pattern in source.exclude)}


def _below(files: Any, folder: str) -> Iterator[tuple[str, str | None]]:
    """Files below a folder, and folders that can't be listed, with the reason."""
    folders = [folder]
    while folders:
        parent = folders.pop()
        try:
            with as_os_error(parent):
                entries = files.ls(parent + "/" if is_web(files) else parent, detail=True)
        except OSError as error:
            if parent == folder:
                raise
            yield parent, error.strerror or str(error)
            continue
        for entry in entries:
            name = entry["name"]
            if not name.startswith(parent + "/") or name[len(parent) + 1 :].startswith(("?", "#")):
                continue  # a way up, another site, or the same folder in another order
            if entry["type"] == "directory" or name.endswith("/"):
                if name.rstrip("/") != parent:
                    folders.append(name.rstrip("/"))
            else:
                yield name, None
