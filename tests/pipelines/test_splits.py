"""What is listed and how it is cut: canonical order, what isn't read and why, splits that cover every byte once."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.splits import InputError, InputFile, Listing, list_inputs, plan_splits
from schemas.fingerprint import digest_file
from schemas.recipe import Corpus
from tests.pipelines.drafts import ROOT, source


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def listed(path: Path, **settings: object) -> Listing:
    return list_inputs(Corpus(sources=(source(**settings),)), {"s": str(path)})


def uris(listing: Listing) -> list[str]:
    return [file.uri for file in listing.files]


def test_files_come_by_source_priority_then_uri(tmp_path: Path) -> None:
    write(tmp_path, b__z="1", b__a="22", a__m="333", a__n__x="4444")
    settings = Corpus(sources=(source("second"), source("first")))
    listing = list_inputs(settings, {"first": str(tmp_path / "a"), "second": str(tmp_path / "b")})
    assert [(f.source, f.uri, f.bytes) for f in listing.files] == [
        ("second", "a", 2), ("second", "z", 1), ("first", "m", 3), ("first", "n/x", 4),
    ]  # fmt: skip
    assert listing.files[0].digest == digest_file(tmp_path / "b" / "a")


def test_a_file_a_folder_and_a_glob_can_be_a_source(tmp_path: Path) -> None:
    write(tmp_path, **{"x.txt": "1", "y.txt": "2", "d__z.txt": "3", "d__z.md": "4"})
    assert uris(listed(tmp_path / "x.txt")) == ["x.txt"]
    assert uris(listed(tmp_path, include=("*.txt",))) == ["d/z.txt", "x.txt", "y.txt"]
    assert uris(listed(tmp_path, include=("*.txt",), exclude=("d/*",))) == ["x.txt", "y.txt"]
    assert uris(listed(tmp_path / "*.txt")) == ["x.txt", "y.txt"]
    assert uris(listed(tmp_path / "**" / "z*")) == ["d/z.md", "d/z.txt"]


def test_empty_files_are_noted(tmp_path: Path) -> None:
    listing = listed(write(tmp_path, a="", b="x"))
    assert uris(listing) == ["b"]
    assert listing.empty == (("s", "a"),)


def test_links_out_of_the_root_pipes_and_odd_names_are_noted_and_not_read(tmp_path: Path) -> None:
    root = write(tmp_path / "root", a="x", inside="y")
    write(tmp_path, secret="z", outside__f="z")
    (root / "leak").symlink_to(tmp_path / "secret")
    (root / "leaking").symlink_to(tmp_path / "outside")
    (root / "link").symlink_to(root / "inside")
    (root / "loop").symlink_to(root)
    (root / "nowhere").symlink_to(root / "gone")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"\xff.txt")).write_text("x")
    listing = listed(root)
    assert uris(listing) == ["a", "inside", "link"]
    assert {uri: why for _, uri, why in listing.unreadable} == {
        "leak": "a symbolic link that leads out of the source's folder",
        "leaking": "a symbolic link that leads out of the source's folder",
        "nowhere": "No such file or directory",
        "pipe": "not a regular file",
        "\\udcff.txt": "its name is not UTF-8",
    }


@pytest.mark.parametrize(("name", "why"), [("gone", "No such file"), ("*.md", "no file at"), ("empty_folder", "no file at")])
def test_a_missing_source_is_one_clear_error(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(InputError, match=rf"source 's': .*{why}.*"):
        listed(tmp_path / name)


AS_NOBODY = """
import os, sys
from pathlib import Path
from pipelines.splits import InputError
from tests.pipelines.test_splits import listed
if os.getuid() == 0:  # root reads everything: look with another's eyes
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
listing = listed(Path(sys.argv[1]))
print([f.uri for f in listing.files], listing.unreadable)
try:
    listed(Path(sys.argv[1]) / "shut")
except InputError as error:
    print(error)
"""


def test_a_folder_without_permission_is_noted_and_its_neighbours_are_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # not below tmp_path, which only its owner may enter
        folder = write(Path(name), open__a="x", shut__b="y", closed="z")
        folder.chmod(0o755)
        (folder / "shut").chmod(0)
        (folder / "closed").chmod(0)
        shown = subprocess.run([sys.executable, "-c", AS_NOBODY, name], cwd=ROOT, capture_output=True, text=True, check=False)
        (folder / "shut").chmod(0o755)
    found, refused = shown.stdout.splitlines()
    assert found == "['open/a'] (('s', 'closed', 'Permission denied'), ('s', 'shut', 'Permission denied'))", shown.stderr
    assert "source 's'" in refused and "Permission denied" in refused


def test_the_stat_cache_spares_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "in", a="x", b="y")
    for file in path.iterdir():
        os.utime(file, ns=(10**18, 10**18))
    settings, cache = Corpus(sources=(source(),)), tmp_path / "cache" / "inputs.json"
    before = list_inputs(settings, {"s": str(path)}, cache)
    (path / "a").write_text("z")  # same size, and the same time: only the cache can say what it was
    os.utime(path / "a", ns=(10**18, 10**18))
    assert list_inputs(settings, {"s": str(path)}, cache) == before
    os.utime(path / "a", ns=(10**18 + 1, 10**18 + 1))
    assert list_inputs(settings, {"s": str(path)}, cache) != before


def test_a_file_changed_just_now_is_not_trusted_to_the_cache(tmp_path: Path) -> None:
    path, cache = write(tmp_path / "in", a="x"), tmp_path / "inputs.json"
    list_inputs(Corpus(sources=(source(),)), {"s": str(path)}, cache)
    assert not cache.exists()


def test_splits_pack_files_and_cut_only_lines(tmp_path: Path) -> None:
    files = [("lines", "a.txt", 250), ("lines", "b.txt.gz", 120), ("whole", "c.txt", 250), ("whole", "d.txt", 10), ("whole", "e.txt", 90)]
    settings = Corpus(sources=(source("lines", unit="line"), source("whole")), split_bytes=100)
    listing = Listing(tuple(InputFile(s, uri, size, "d") for s, uri, size in files), (("whole", "x"),), (("whole", "y", "why"),))
    splits = plan_splits(listing, settings)
    assert [[(p["uri"], p["start"], p["end"]) for p in split["pieces"]] for split in splits] == [
        [("a.txt", 0, 100)],
        [("a.txt", 100, 200)],
        [("a.txt", 200, 250)],
        [("b.txt.gz", 0, 120)],
        [("c.txt", 0, 250)],
        [("d.txt", 0, 10), ("e.txt", 0, 90)],
    ]
    assert splits[0] == {"ordinal": 0, "bytes": 100, "pieces": [ANY], "empty": [["whole", "x"]], "unreadable": [["whole", "y", "why"]]}
    assert all(not split["empty"] and not split["unreadable"] for split in splits[1:])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["lines", "whole"]), st.integers(1, 500)), max_size=20), st.integers(1, 300))
def test_splits_cover_every_byte_once_in_order(sizes: list[tuple[str, int]], split_bytes: int) -> None:
    files = sorted((InputFile(s, f"{n:03}", size, "d") for n, (s, size) in enumerate(sizes)), key=lambda f: f.source)
    settings = Corpus(sources=(source("lines", unit="line"), source("whole")), split_bytes=split_bytes)
    splits = plan_splits(Listing(tuple(files), (), ()), settings)
    pieces = [piece for split in splits for piece in split["pieces"]]
    covered = [(f.source, f.uri, at) for f in files for at in range(f.bytes)]
    assert [(p["source"], p["uri"], at) for p in pieces for at in range(p["start"], p["end"])] == covered
    assert [split["ordinal"] for split in splits] == list(range(len(splits)))
    assert all(split["bytes"] <= split_bytes or len(split["pieces"]) == 1 for split in splits)
    assert all(split["pieces"] for split in splits) or not files
