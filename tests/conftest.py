"""Films, weights and a cache of their own for the tests; nothing here reads the user's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' networks are tiny: a second thread only waits, for very long on a busy machine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for the whole session, and no pretrained weights of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAINFILM_CACHE", str(folder))
        patch.setenv("PLAINFILM_PRECISION", "32")  # no trial of speed decides what a test finds
        patch.delenv("PLAINFILM_WEIGHTS", raising=False)
        yield folder


def _stand_in(
    draw: Callable[..., None], figure: Figure, folder: Path, name: str, kinds: tuple[str, ...] = ("png", "svg")
) -> None:
    """Write empty files in a chart's place; montages, which are read again, are drawn."""
    if name == "montage" or "svg" not in kinds:
        return draw(figure, folder, name, kinds)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        (Path(folder) / f"{name}.{kind}").write_bytes(b"")
    return None


@pytest.fixture(scope="module", autouse=True)
def no_drawing(request: pytest.FixtureRequest):
    """Commands draw a dozen charts a run, two seconds of work: here they are files without content, but in the test of
    the paper, which looks at them; tests/report draws all."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in ("cli", "commands", "runs") and request.path.stem != "test_paper":
            from plainfilm.report import figures

            patch.setattr(figures, "save", partial(_stand_in, figures.save))
        yield


def film_bytes(number: int, sick: bool, size: tuple[int, int] = (72, 56), form: str = "JPEG") -> bytes:
    """A picture that is no chest, only learnable: noise, and a bright blob low on one side when ``sick``."""
    rng = np.random.default_rng((number, sick))
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    picture = rng.normal(90, 25, (height, width))
    if sick:
        picture += 90 * np.exp(-(((x - width * 0.3) / width * 5) ** 2 + ((y - height * 0.6) / height * 5) ** 2))
    buffer = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def write_films(folder: Path, normal: int = 16, sick: int = 24) -> Path:
    """Class folders with names as in the Kermany set; two films a patient."""
    for i in range(normal):
        place = folder / "NORMAL" / f"IM-{i // 2:04d}-{i % 2:04d}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film_bytes(i, False))
    for i in range(sick):
        place = folder / "PNEUMONIA" / f"person{i // 2}_bacteria_{i}.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(film_bytes(i, True))
    return folder


@pytest.fixture
def make_film() -> Callable[..., bytes]:
    return film_bytes


@pytest.fixture(scope="session")
def films_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 learnable films in class folders. Read only: a test that changes films makes its own."""
    return write_films(tmp_path_factory.mktemp("films") / "set")


@pytest.fixture
def make_films() -> Callable[..., Path]:
    return write_films


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the Keras layout with VGG16's shapes and random (He-scaled) values."""
    from plainfilm.models.weights import LAYERS, write_keras

    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in LAYERS:
        arrays[f"{name}.weight"] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        arrays[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    path = tmp_path_factory.mktemp("weights") / "random.h5"
    write_keras(arrays, path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real films and weights beside the repository; tests that need it skip where it is not."""
    if not SHARED.is_dir():
        pytest.skip("real films and weights are not beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def shared_cases(shared: Path) -> Path:
    """The folder of small inputs from public reports, a README with the right value each; skips where it is not."""
    if not (shared / "cases").is_dir():
        pytest.skip("the cases are not beside the repository")
    return shared / "cases"
