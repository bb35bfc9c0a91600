"""The container and the service files: their commands are ours, their steps run, and neither is root."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from plainfilm.cli import COMMANDS
from plainfilm.cli.base import parser_of
from plainfilm.export.onnx import write_onnx
from plainfilm.models.model import Model

from .orthanc import free_port
from .test_receiver import stored, wait_until
from .test_scenes import started

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NOBODY = 10_001


def steps() -> list[tuple[str, str]]:
    """(instruction, what it is given) of the Dockerfile, in order; continued lines are one."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, rest in (line.split(" ", 1) for line in lines)]


def given(instruction: str) -> list[str]:
    return [rest for word, rest in steps() if word == instruction]


def options(words: list[str]) -> object:
    """What `plainfilm receive` makes of the words; InputError where it takes none of them."""
    assert words[0] == "receive"
    return parser_of(COMMANDS["receive"]).parse_args(words[1:])


def test_the_container_has_pinned_bases_no_root_and_one_place_to_write():
    assert all(re.fullmatch(r"python:\d+\.\d+-slim( AS \w+)?", base) for base in given("FROM"))
    assert given("USER") == [f"{NOBODY}:{NOBODY}"] and given("VOLUME") == ["/var/lib/plainfilm"]
    found = options(json.loads(given("CMD")[-1]))
    assert str(found.spool).startswith("/var/lib/plainfilm/") and found.port == int(given("EXPOSE")[0])


def test_what_the_container_copies_is_let_through_and_is_there():
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in allowed) and {"src", "pyproject.toml", "constraints.txt"} <= {
        *allowed
    }
    assert given("COPY")[0] == ". /src"


def test_compose_gives_a_read_only_container_no_rights_and_a_command_of_ours():
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ours = services["plainfilm"]
    assert ours["read_only"] and ours["cap_drop"] == ["ALL"] and "no-new-privileges:true" in ours["security_opt"]
    found = options(ours["command"])
    assert found.callers and found.answer.startswith("ORTHANC@orthanc:") and found.host == "0.0.0.0"
    assert all(port.startswith("127.0.0.1:") for each in services.values() for port in each["ports"])


def test_the_unit_is_one_that_systemd_takes_and_its_command_is_ours(tmp_path):
    text = (DEPLOY / "plainfilm.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+ (.+)$", text, re.MULTILINE)
    options([word for word in command.split() if not word.startswith("$FLAGS")] + shlex.split("--callers A,B"))
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "plainfilm.service"
    unit.write_text(text.replace("/opt/plainfilm/bin/plainfilm", sys.executable))
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True)
    assert "plainfilm.service:" not in verified.stderr, verified.stderr
    said = subprocess.run([analyze, "security", "--offline=true", unit], capture_output=True, text=True).stdout
    level = re.search(r"Overall exposure level.*: (\d+\.\d)", said)
    assert level and float(level[1]) < 2.5, said


WITHOUT = """
import importlib.abc, sys
lacking = set({lacking!r})
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in lacking:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from plainfilm.cli import main
sys.exit(main())
"""


def lacking() -> list[str]:
    """The modules that are installed here and not in the container: it holds plainfilm, some extras, all they need."""
    (extras,) = [re.search(r"/src\[(.+?)\]", step) for step in given("RUN") if "/src[" in step]
    assert extras
    left, found = [Requirement(f"plainfilm[{extras[1]}]")], set()
    while left:
        wanted = left.pop()
        for text in metadata.requires(wanted.name) or []:
            more = Requirement(text)
            for extra in wanted.extras or {""}:
                if more.marker is None or more.marker.evaluate({"extra": extra}):
                    left += [more] if (more.name, str(more.extras)) not in found else []
                    found.add((more.name, str(more.extras)))
    names = {re.sub(r"[-_.]+", "-", name).lower() for name, _ in found} | {"plainfilm"}
    modules = metadata.packages_distributions()
    return [top for top, by in modules.items() if not {re.sub(r"[-_.]+", "-", each).lower() for each in by} & names]


def test_the_command_needs_nothing_that_the_container_lacks(run, film, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    write_onnx(Model.load(run), tmp_path / "model.onnx", noise)
    without = lacking()
    assert {"torch", "sklearn", "uvicorn", "fastapi"} <= set(without) and not {"numpy", "pynetdicom"} & set(without)
    words = ["receive", str(tmp_path / "model.onnx"), "--port", "0", "--metrics-port", str(free_port()), "--json"]
    words += ["--answer", "A@127.0.0.1:1", "--wait", "0", "--reserve", "1", "--spool", str(tmp_path / "spool")]
    command = [sys.executable, "-c", WITHOUT.format(lacking=without), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stderr
            line = process.stdout.readline()
            assert line, process.stderr.read()
            assert stored(int(json.loads(line)["films"].rsplit(":", 1)[1]), film(0)) == [0]
            wait_until(lambda: list((tmp_path / "spool").rglob("*.zip")), 60)
        finally:
            process.terminate()


def test_the_health_check_is_answered_while_it_lives(run, tmp_path):
    (rest,) = given("HEALTHCHECK")
    command = json.loads(rest[rest.index("CMD ") + 4 :])
    command[0] = sys.executable
    metrics = free_port()
    command[2] = command[2].replace("11113", str(metrics))
    flags = ("--port", 0, "--answer", "A@127.0.0.1:1", "--spool", tmp_path / "spool", "--metrics-port", metrics)
    with started("receive", run, *flags) as receiver:
        assert subprocess.run(command).returncode == 0
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as page:
            assert b"plainfilm_spooled_films 0.0" in page.read()
        receiver.stop(signal.SIGKILL)
    assert subprocess.run(command, capture_output=True).returncode != 0


def built(place: Path) -> Path:
    """Run every RUN of the Dockerfile with its folders in ``place``; return ``place``."""
    names = {
        "/opt/plainfilm": place / "opt",
        "/lister": place / "lister",
        "/src": place / "src",
        "/var/lib/plainfilm": place / "var",
    }
    for name in ("src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        source, target = ROOT / name, names["/src"] / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for step in given("RUN"):
        for name, inner in names.items():
            step = step.replace(name, str(inner))
        subprocess.run(["bash", "-euc", step], check=True, capture_output=True, cwd=place)
    return place


def contained(place: Path, model: Path, port: int) -> list[str]:
    """The Dockerfile's command for what was ``built``, as its user, with all of the disk but its volume read-only."""
    moved: dict[str, object] = {"/model": model, "/var/lib/plainfilm/spool": place / "var" / "spool"}
    moved |= {"11112": port, "11113": free_port()}
    words = [str(moved.get(word, word)) for word in json.loads(given("CMD")[-1])]
    words += ["--answer", "A@127.0.0.1:1", "--wait", "0", "--reserve", "1"]
    inside = (
        f"{opened_to_others(Path(sys.base_prefix), place)}mount --bind {place}/var {place}/var"
        " && mount -o remount,bind,ro / && mount -t tmpfs tmpfs /dev/shm"
        f" && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs "
        + shlex.join([str(place / "opt/bin/plainfilm"), *words])
    )
    return ["unshare", "-m", "bash", "-euc", inside]


def opened_to_others(python: Path, place: Path) -> str:
    """Steps that let any user reach the interpreter, where it lies in a home that is closed to others, as pyenv's does:
    in the home's place comes a disk in memory that holds nothing else. Permission is denied without them."""
    closed = [folder for folder in python.parents if not os.stat(folder).st_mode & 0o001]
    if not closed:
        return ""
    (place / "python").mkdir()
    home, seen = closed[-1], place / "python"
    return (
        f"mount --bind {python} {seen} && mount -t tmpfs -o mode=755 tmpfs {home} && mkdir -p {python}"
        f" && mount --bind {seen} {python} && mount -o remount,bind,ro {python} && mount -o remount,ro {home} && "
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user may enter; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.slow
def test_the_containers_steps_run_and_what_they_make_serves_without_root_on_a_read_only_disk(run, film, place):
    built(place)
    listed = json.loads((place / "opt" / "sbom.json").read_text())
    parts = {part["name"]: part["version"] for part in listed["components"]}
    assert listed["bomFormat"] == "CycloneDX" and {"numpy", "onnxruntime", "pydicom", "pynetdicom"} <= set(parts)
    assert not {"torch", "scikit-learn"} & set(parts)  # it reads films; nothing in it trains
    if os.getuid() or not shutil.which("unshare"):
        pytest.skip("only root can lay the container's disk out")
    (place / "model").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    write_onnx(Model.load(run), place / "model" / "model.onnx", noise)
    os.chmod(place / "model" / "model.onnx", 0o644)
    port, env = free_port(), {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    env |= dict.fromkeys(("HOME", "MPLCONFIGDIR", "TMPDIR"), "/dev/shm")
    command = contained(place, place / "model", port)
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("the steps ran; this machine lets nobody lay out a disk of their own")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=place / "var") as process:
        try:
            assert process.stdout and process.stdout.readline()
            assert stored(port, film(0)) == [0]
            wait_until(lambda: list((place / "var").rglob("*.zip")), 60)
            assert {path.stat().st_uid for path in (place / "var" / "spool").rglob("*")} == {NOBODY}
            inside = ["nsenter", "-t", str(process.pid), "-m", "touch"]
            for folder in ("opt", "model", "src"):  # not even root may
                tried = subprocess.run([*inside, place / folder / "x"], capture_output=True, text=True)
                assert "Read-only file system" in tried.stderr and not (place / folder / "x").exists()
        finally:
            process.terminate()
