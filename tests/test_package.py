"""The wheel and the source package: what they hold, that an index would take them, that an environment can run them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from tests.test_architecture import SOURCE

ROOT = SOURCE.parents[1]
BUILD = "import sys; from setuptools import build_meta as b; out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """(wheel, source package), built from the tree's tracked kinds of files, beside them nothing."""
    place = tmp_path_factory.mktemp("package")
    tree, out = place / "tree", place / "dist"
    out.mkdir()
    for path in [*ROOT.glob("*.toml"), *ROOT.glob("*.md"), ROOT / "LICENSE", *SOURCE.rglob("*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            copy = tree / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", BUILD, out], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


def ours() -> set[str]:
    """Every file that the program needs when it runs."""
    found = {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


def test_both_hold_every_file_of_the_program_and_nothing_else_of_ours(built):
    wheel, source = built
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert in_wheel == ours()
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {f"src/{name}" for name in ours()} | {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("docs/", "shared/"))]


def test_an_index_would_take_their_metadata(built):
    with zipfile.ZipFile(built[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        raw = archive.read(name)
        assert [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    found = Metadata.from_email(raw, validate=True)
    assert (found.license_expression, str(found.requires_python)) == ("Apache-2.0", ">=3.11")
    assert found.description_content_type == "text/markdown"
    text = message_from_bytes(raw).get_payload()
    assert isinstance(text, str) and text.startswith("#") and "plainfilm" in text


def test_extras_are_those_that_the_pages_name_and_all_is_all():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (all_of_them,) = map(Requirement, extras["all"])
    assert all_of_them.extras == set(extras) - {"all", "test"}
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert not [name for name in extras if f"`{name}`" not in page and name != "test"]


def test_the_wheel_runs_in_an_environment_of_its_own(built, tmp_path):
    """Its dependencies are lent by this environment; plainfilm itself comes from the wheel."""
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    (own,) = [path for path in place.rglob("site-packages") if path.is_dir()][:1]
    (own / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    # To pip, what lies in PYTHONPATH is installed already.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", built[0]]
    subprocess.run(install, check=True, capture_output=True, env=env)

    def run(*words: object) -> str:
        done = subprocess.run([*map(str, words)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    where = run(python, "-c", "import plainfilm; print(plainfilm.__file__)")
    assert Path(where.strip()).is_relative_to(own)
    assert "plainfilm train" in run(scripts / "plainfilm", "train", "--help")
    run(scripts / "plainfilm", "audit", "demo:24", "--out", tmp_path / "audit", "--quiet")
    assert "<html" in (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    page = "from plainfilm.serving.app import WEB; print(len((WEB / 'index.html').read_text(encoding='utf-8')))"
    assert int(run(python, "-c", page)) > 1000
