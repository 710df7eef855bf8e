"""Which inputs wait: by name, by marker, by age, and those that change while they are looked at."""

import os
import time
from pathlib import Path

import pytest

from pipelines.settling import Settling
from pipelines.splits import InputError, Listing, list_inputs
from schemas.recipe import Corpus
from tests.pipelines.drafts import source

AT_ONCE = Settling(0)


def look(folder: Path, settling: Settling | None, **of_source: object) -> Listing:
    return list_inputs(Corpus(sources=(source(**of_source),)), {"s": str(folder)}, settling=settling)


def uris(listing: Listing) -> list[str]:
    return [file.uri for file in listing.files]


def test_names_of_unfinished_files_wait(tmp_path: Path) -> None:
    names = [".a.txt.x3Ky2", "b.txt.part", "c.tmp", "d.crdownload", "e.txt~", "G.PARTIAL"]
    (tmp_path / ".staging").mkdir()
    for name in (*names, ".staging/f.txt", "whole.txt", "party.txt"):
        (tmp_path / name).write_text("x")
    found = look(tmp_path, AT_ONCE)
    assert uris(found) == ["party.txt", "whole.txt"]
    assert {uri for _, uri, _ in found.waiting} == {*names, ".staging/f.txt"}
    assert len(look(tmp_path, None).files) == 9  # a full build takes what the recipe says


def test_a_file_waits_until_it_was_unchanged_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    os.utime(path, (1, 1))  # as copying with its times does: it has just come all the same
    ((_, uri, why),) = look(tmp_path, Settling(60)).waiting
    assert uri == "a.txt" and why.startswith("was changed ")
    os.utime(path, (time.time() + 500,) * 2)
    ((_, _, why),) = look(tmp_path, Settling(60)).waiting
    assert why.endswith("s in the future, by the clock of its file system")
    os.utime(path, (1, 1))
    while look(tmp_path, Settling(0.3)).waiting:
        time.sleep(0.05)
    assert uris(look(tmp_path, Settling(0.3))) == ["a.txt"]


@pytest.mark.parametrize(("marker", "file"), [(".done", "in/a.txt.done"), ("_SUCCESS", "in/_SUCCESS")])
def test_with_a_marker_files_wait_for_it(tmp_path: Path, marker: str, file: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.txt", "b.txt", file):
        (tmp_path / name).write_text("x")
    found = look(tmp_path, Settling(0, marker))
    assert uris(found) == ["in/a.txt"]
    assert found.waiting == (("s", "b.txt", f"its marker ({marker}) is not there"),)


def test_a_file_that_changes_while_it_is_looked_at_waits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    os.mkfifo(tmp_path / "never.txt")  # not a regular file: unreadable, and nobody waits for it

    class Meddler(Settling):
        def why_waits(self, root: str, uri: str) -> str | None:
            found = super().why_waits(root, uri)
            if uri == "gone.txt":
                (tmp_path / uri).unlink()
                raise FileNotFoundError(uri)
            return found

    (tmp_path / "gone.txt").write_text("x")
    found = look(tmp_path, Meddler(0))
    assert found.waiting == (("s", "gone.txt", "was taken away while it was looked at"),)
    assert (uris(found), [uri for _, uri, _ in found.unreadable]) == (["a.txt"], ["never.txt"])


def test_a_folder_may_be_empty_but_must_be_there(tmp_path: Path) -> None:
    assert look(tmp_path, AT_ONCE) == Listing((), (), ())
    with pytest.raises(InputError, match="no file at"):
        look(tmp_path, None)
    with pytest.raises(InputError, match="No such file"):
        look(tmp_path / "nowhere", AT_ONCE)


def test_waiting_files_are_no_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    before = look(tmp_path, AT_ONCE)
    (tmp_path / "b.part").write_text("x")
    assert look(tmp_path, AT_ONCE).digest == before.digest
