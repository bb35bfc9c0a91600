"""What a release has to agree about: one version, the changelog's first section, and who may cite which day."""

from __future__ import annotations

import re
import tomllib
from datetime import date

from tests.test_architecture import SOURCE

ROOT = SOURCE.parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_citation_names_the_version_and_a_day():
    cited = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    assert cited["version"] == VERSION
    assert date.fromisoformat(cited["date-released"].strip('"'))


def test_the_changelog_begins_with_the_version_and_says_what_users_must_do():
    sections = re.split(r"^## ", CHANGES, flags=re.MULTILINE)[1:]
    assert sections[0].split(",")[0].split()[0] == VERSION
    assert re.findall(r"^### (.+)$", sections[0], re.MULTILINE)[0] == "What you must do"


def test_pages_name_files_of_this_version():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert set(re.findall(r"plainfilm-(\d+\.\d+\.\d+)", page.read_text(encoding="utf-8"))) <= {VERSION}, page


def test_the_version_stands_in_the_source_nowhere_else():
    """The program asks the package's metadata; a second place would be forgotten."""
    assert [path.name for path in SOURCE.rglob("*.py") if f'"{VERSION}"' in path.read_text(encoding="utf-8")] == []
