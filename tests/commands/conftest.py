"""Commands draw a dozen charts a run, two seconds of work; here only that they are there matters."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from plainfilm.report import figures

draw = figures.save


def stand_in(figure: Figure, folder: Path, name: str, kinds: tuple[str, ...] = ("png", "svg")) -> None:
    """Write empty files in a chart's place; montages, which are read again, are drawn."""
    if name == "montage" or "svg" not in kinds:
        return draw(figure, folder, name, kinds)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        (Path(folder) / f"{name}.{kind}").write_bytes(b"")
    return None


@pytest.fixture(scope="module", autouse=True)
def no_drawing(request: pytest.FixtureRequest):
    """Charts are files without content, but in the test of the paper, which looks at them; tests/report draws all."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.module.__name__.endswith("test_paper"):
            patch.setattr(figures, "save", stand_in)
        yield
