"""The image: what it is made of, who it runs as, and that the package in it holds every file of the code."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.architecture.project import CODE, PROJECT_ROOT, project_files, read
from tests.deploy.files import BASE, COMPOSE, compose_services, dockerfile, of_kind

PROJECT = tomllib.loads(read(Path("pyproject.toml")))["project"]
IGNORED = Path(".dockerignore")
COMPILE_LOCK = Path("requirements/requirements-cluster.txt")


def version_of(image: str) -> str:
    """Return an image's tag. A port of a registry is none."""
    name, colon, tag = image.rpartition(":")
    return tag if colon and "/" not in tag and name else ""


def locked_version(distribution: str) -> str:
    (line,) = [one for one in read(COMPILE_LOCK).splitlines() if one.startswith(f"{distribution}==")]
    return line.split("==")[1].split()[0]


def test_the_image_has_a_python_that_the_project_takes() -> None:
    (argument,) = dockerfile("ARG")
    assert dockerfile("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    version = version_of(argument).split("-")[0]
    assert argument.startswith("PYTHON_IMAGE=python:")
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


def test_nothing_is_installed_but_by_hash_and_nothing_runs_as_root() -> None:
    installs = [line for line in dockerfile("RUN") if "pip install" in line]
    assert [("--require-hashes" in one) or ("--no-deps" in one) for one in installs] == [True, True]
    assert f"--requirement {COMPILE_LOCK}" in installs[0]
    assert "--no-build-isolation" in installs[1]
    assert dockerfile("USER") == ["10001:10001"]
    assert not [one for one in dockerfile("COPY") if "--from=build" not in one and "/opt" in one]


def test_what_the_build_copies_is_let_in_and_nothing_else_is() -> None:
    copied = {
        name for line in dockerfile("COPY") if not line.startswith("--from=") for name in line.split()[:-1]
    }
    lines = [line for line in read(IGNORED).splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert [name for name in copied if not (PROJECT_ROOT / name).exists()] == []


def test_every_image_is_pinned_by_its_version() -> None:
    pinned = {name: version_of(one["image"]) for name, one in compose_services().items()}
    assert [name for name, version in pinned.items() if not any(c.isdigit() for c in version)] == []


def test_our_image_has_the_project_s_version_everywhere() -> None:
    ours = {one["image"] for one in compose_services().values() if one["image"].startswith("nutmeg")}
    assert ours == {f"nutmeg:{PROJECT['version']}"}
    for folder in (BASE, BASE.parent / "overlays" / "example"):
        (image,) = yaml.safe_load(read(folder / "kustomization.yaml"))["images"]
        assert (image["name"], image["newTag"]) == ("nutmeg", PROJECT["version"])
    used = {
        container["image"]
        for one in of_kind("Deployment", "StatefulSet", "Job")
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert used == {"nutmeg"}


def test_servers_are_of_versions_that_the_code_is_tested_with_or_made_for() -> None:
    images = {name: one["image"] for name, one in compose_services().items()}
    assert f"<version>{version_of(images['kafka'])}</version>" in read(Path("tests/servers/kafka.pom.xml"))
    (client,) = [
        Requirement(one)
        for one in PROJECT["optional-dependencies"]["cluster"]
        if one.startswith("elasticsearch")
    ]
    assert version_of(images["elasticsearch"]) == locked_version("elasticsearch")
    assert client.specifier.contains(version_of(images["elasticsearch"]))


def test_the_package_in_the_image_holds_every_file_of_the_code(tmp_path: Path) -> None:
    shown = {one for one in project_files() if one.parts[0] in CODE}
    for path in (*shown, *(Path(name) for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"))):
        target = tmp_path / "build" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / path, target)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*build, "--no-build-isolation", "--wheel-dir", str(tmp_path), "."],
        cwd=tmp_path / "build",
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("nutmeg-*.whl")
    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    missing = {str(one) for one in shown - packed if not one.name.startswith(".")}
    assert missing == set()


def test_compose_builds_the_image_once_and_before_it_is_used() -> None:
    built = [name for name, one in compose_services().items() if "build" in one]
    assert built == ["migrate"]
    assert (PROJECT_ROOT / COMPOSE.parent / "Dockerfile").is_file()
    services = compose_services()

    def waits_for(name: str) -> set[str]:
        direct = set(services[name].get("depends_on", {}))
        return direct.union(*(waits_for(one) for one in direct))

    # A profile's containers are begun by hand, once the others are up.
    begun = {name: one for name, one in services.items() if "profiles" not in one}
    ours = [name for name, one in begun.items() if one["image"].startswith("nutmeg") and name != "migrate"]
    assert [name for name in ours if "migrate" not in waits_for(name)] == []
