"""The model: what *infra/* promises and can be read from its files; infra/check.sh holds them against the published schemas, too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from flows.cli import app
from flows.deployed.pools import KINDS
from tests.test_house import PROJECT, ROOT, pins, requirements

INFRA = ROOT / "infra"
LOCKS = ("requirements.lock", "torch-cpu.lock", "torch-cuda.lock", "checks.lock")
IN_IMAGES = ("remote", "tensorboard", "trafilatura")
LATER = {"serve"}
"""Commands that manifests name and that come from another change."""


def locked(name: str) -> dict[str, tuple[str, int]]:
    """By package of a lock: its version, and how many digests it has."""
    found: dict[str, tuple[str, int]] = {}
    text = re.sub(r"^#.*\n", "", (INFRA / name).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    for line in filter(None, text.splitlines()):
        requirement, *hashes = line.split()
        package, _, version = requirement.partition("==")
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), line
        assert package not in found, f"{package} is in {name} twice"
        found[canonicalize_name(package)] = version, len(hashes)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_digests_for_all_and_names_no_place(name: str) -> None:
    entries = locked(name)
    assert entries
    assert [package for package, (_, hashes) in entries.items() if not hashes] == []
    assert "://" not in (INFRA / name).read_text() and "--index" not in (INFRA / name).read_text()


def test_locks_and_pins_say_the_same_and_leave_nothing_out() -> None:
    pinned, entries = pins(), locked("requirements.lock")
    assert {package: version for package, (version, _) in entries.items() if pinned.get(package) != version} == {}, "run `make lock`"
    for lock in ("torch-cpu.lock", "torch-cuda.lock"):
        assert locked(lock)["torch"][0] == pinned["torch"]
    assert "torch" not in entries and not entries.keys() & locked("torch-cuda.lock").keys()
    wanted = requirements(*IN_IMAGES).keys() - {"torch"}
    assert wanted - entries.keys() == set(), "run `make lock`"
    assert not entries.keys() & {"hypothesis", "mypy", "pytest", "ruff", "transformers"}, "what only development needs is in no image"


def test_every_pin_of_a_run_is_in_a_lock() -> None:
    runs, _, _ = (INFRA / "constraints.txt").read_text().partition("# Only for development")
    of_the_demo = {canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["demo"]}
    names = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", runs, re.MULTILINE)} - of_the_demo - {"torch"}
    assert names - locked("requirements.lock").keys() == set(), "run `make lock`"


DOCKERFILE = (INFRA / "Dockerfile").read_text().replace("\\\n", " ")


def instructions() -> list[tuple[str, str]]:
    lines = [line.strip() for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a file of the checkout into a build; the last pattern that matches decides."""
    allowed = True
    for pattern in filter(None, (ROOT / ".dockerignore").read_text().splitlines()):
        if not pattern.startswith("#"):
            plain = pattern.removeprefix("!").removeprefix("**/")
            if fnmatch(path, plain) or path.startswith(f"{plain}/") or (pattern.startswith("**/") and f"/{plain}/" in f"/{path}"):
                allowed = pattern.startswith("!")
    return allowed


def test_all_that_a_build_copies_is_there_and_sent() -> None:
    stages = set()
    for word, rest in instructions():
        if word == "FROM":
            stages.add(rest.partition(" AS ")[2])
        if word == "COPY":
            options = [part for part in shlex.split(rest) if part.startswith("--")]
            *sources, _ = [part for part in shlex.split(rest) if not part.startswith("--")]
            if options:
                assert options[0].removeprefix("--from=") in stages
                continue
            for source in sources:
                assert (ROOT / source).exists(), source
                assert source == "." or sent(source), f"{source} is in .dockerignore"
    assert {"cpu", "cuda", "beam"} <= stages


def test_a_build_gets_the_code_and_nothing_beside_it() -> None:
    for path in ("flows/cli.py", "schemas/recipe.schema.json", "infra/install.sh", "infra/requirements.lock", "pyproject.toml", "LICENSE"):
        assert sent(path) and (ROOT / path).exists()
    for path in (
        ".gristmill/store/x",
        ".git/config",
        ".venv/bin/python",
        "infra/.env",
        ".env",
        "infra/torch-index.txt",
        "tests/conftest.py",
    ):
        assert not sent(path)
    mirrored = re.search(r"git ls-files -z -- (.*) \|", (INFRA / "check-image.sh").read_text())
    assert mirrored is not None
    assert [path for path in mirrored[1].split() if path != "infra" and not sent(path)] == []
    assert {path.parts[0] for path in map(Path, mirrored[1].split())} >= {"schemas", "pipelines", "model", "flows", "pyproject.toml"}


def test_images_are_installed_by_the_script_that_is_tried_and_run_as_nobody() -> None:
    said = instructions()
    runs = [rest for word, rest in said if word == "RUN"]
    assert all("install.sh" in run or "apt-get" in run or "useradd" in run for run in runs)
    assert [rest for word, rest in said if word == "USER"] == ["10001:10001"]
    last = {rest.partition(" AS ")[2]: rest.partition(" AS ")[0] for word, rest in said if word == "FROM"}
    assert (last["cpu"], last["cuda"], last["beam"]) == ("runtime", "runtime", "cpu")
    assert any(word == "HEALTHCHECK" for word, _ in said)
    arguments = dict(rest.partition("=")[::2] for word, rest in said if word == "ARG")
    assert arguments["BEAM"].endswith(f":{pins()['apache-beam']}")
    assert arguments["PYTHON"].startswith("python:3.11-") and "python3.11" in arguments["BEAM"]


SECRET = re.compile(r"AUTH|SECRET|PASSWORD|TOKEN|CONNECTION_URL|API_KEY|NOTIFY_URL", re.IGNORECASE)


def test_a_pools_image_runs_what_its_worker_says() -> None:
    """A worker hands over a whole command, to which an entry point would be put in front."""
    images = {variables["image"] for variables in KINDS.values() if "image" in variables}
    assert images == {"gristmill:flow"}
    stage = (INFRA / "Dockerfile").read_text().partition("FROM cpu AS flow\n")[2].partition("\nFROM ")[0]
    assert "ENTRYPOINT []" in stage


def test_no_image_holds_a_secret() -> None:
    held = [rest for word, rest in instructions() if word in ("ARG", "ENV") and SECRET.search(rest)]
    assert held == []


COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())


def test_a_composition_is_told_its_secrets_and_reached_on_loopback_only() -> None:
    services = COMPOSE["services"]
    assert {"database", "server", "worker", "tensorboard"} == services.keys()
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert "${" in value and not re.sub(r"\$\{[^}]*\}", "", value).strip(":").endswith("password"), (name, key)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert name == "worker" or "healthcheck" in service, name
        if name != "database":
            assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["image"].startswith("gristmill:")
        assert set(service.get("depends_on", {})) <= services.keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert named <= COMPOSE["volumes"].keys()
    for key in ("PREFECT_AUTH", "GRISTMILL_DATABASE_PASSWORD"):
        assert f"${{{key}:?" in (INFRA / "compose.yaml").read_text(), "a composition without it must not start"


def test_a_volume_of_a_composition_is_over_a_folder_that_is_its_users() -> None:
    """One that isn't in the image would be root's, and nobody could write."""
    made = re.findall(r"install -d -o gristmill -g gristmill (\S+)", (INFRA / "Dockerfile").read_text())
    for name, service in COMPOSE["services"].items():
        if name != "database":
            named = [volume.split(":")[1] for volume in service.get("volumes", []) if not volume.startswith(".")]
            assert set(named) <= set(made), name


def test_who_is_told_the_secret_of_hooks_can_be_reached() -> None:
    worker = COMPOSE["services"]["worker"]
    assert "GRISTMILL_HOOK_SECRET" in worker["environment"] and worker["ports"] == ["127.0.0.1:4299:4299"]
    assert "--host 0.0.0.0" in worker["entrypoint"][-1]
    found = {manifest["kind"]: manifest for name, manifest in manifests() if name.startswith("worker")}
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "--host 0.0.0.0" in container["command"][-1]
    assert container["ports"][0]["containerPort"] == found["Service"]["spec"]["ports"][0]["targetPort"] == 4299


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(INFRA.glob("k8s/**/*.yaml")):
        if path.name != "kustomization.yaml":
            for found in yaml.safe_load_all(path.read_text()):
                yield f"{path.name}: {found['kind']} {found['metadata']['name']}", found


def pods() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, manifest in manifests():
        spec = manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template is not None:
            found.append((name, template["spec"]))
    return found


def test_the_cluster_runs_a_worker_a_training_and_an_ingest() -> None:
    kinds = {(found["kind"], found["metadata"]["name"]) for _, found in manifests()}
    assert {("Deployment", "gristmill-worker"), ("Job", "gristmill-training"), ("CronJob", "gristmill-ingest")} <= kinds
    assert len(pods()) == 3
    assert all("namespace" not in found["metadata"] for _, found in manifests())


@pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])
def test_a_pod_may_do_little_and_finds_what_it_names(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    made = {(found["kind"], found["metadata"]["name"]) for _, found in manifests()}
    assert ("ServiceAccount", pod["serviceAccountName"]) in made
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for volume in volumes.values():
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        assert claim is None or ("PersistentVolumeClaim", claim) in made
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys() and "memory" in container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        for variable in container.get("env", []):
            assert "valueFrom" in variable or not SECRET.search(variable["name"]), variable["name"]
        commands = re.findall(r"gristmill ([a-z]+)", " ".join(container["command"]))
        known = get_command(app).commands.keys() | LATER  # type: ignore[attr-defined]
        assert commands and set(commands) <= known


def test_machines_of_a_training_meet_at_the_first_pod() -> None:
    found = {manifest["kind"]: manifest for _, manifest in manifests() if manifest["metadata"]["name"] == "gristmill-training"}
    job, service = found["Job"]["spec"], found["Service"]["spec"]
    assert job["completionMode"] == "Indexed" and job["completions"] == job["parallelism"] == 2
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"] is True
    labels = job["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert job["template"]["spec"]["subdomain"] == found["Service"]["metadata"]["name"]
    told = re.search(r'machines: 2, ranks: 4, meet: "([^"]+)"', (INFRA / "k8s" / "training" / "training.yaml").read_text())
    assert told is not None and told[1] == f"gristmill-training-0.gristmill-training:{service['ports'][0]['port']}"


@pytest.mark.parametrize("folder", ["k8s", "k8s/training"])
def test_a_kustomization_lists_what_lies_beside_it(folder: str) -> None:
    listed = yaml.safe_load((INFRA / folder / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in (INFRA / folder).glob("*.yaml") if path.name != "kustomization.yaml")
