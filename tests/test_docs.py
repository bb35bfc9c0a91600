"""What the handbook says of the tree is so."""

from __future__ import annotations

import re

from tests.test_architecture import ROOMS, SOURCE

ROOT = SOURCE.parents[1]
TABLE = re.findall(
    r"^\| `(\w+)(/?)` \| .+ \| `(\w+\.py)` \|$", (ROOT / "docs" / "how-it-works.md").read_text(), re.MULTILINE
)


def test_the_rooms_of_how_it_works_are_those_of_the_tree_in_the_order_of_their_imports():
    tree = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    tree |= {path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")}
    assert [name for name, _, _ in TABLE] == list(ROOMS) and set(ROOMS) == tree


def test_where_it_says_to_start_reading_there_is_something_to_read():
    for name, slash, start in TABLE:
        place = SOURCE / name / start if slash else SOURCE / start
        assert place.is_file() and place.read_text().startswith('"""'), place
