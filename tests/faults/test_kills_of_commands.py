"""SIGKILL of commands that look at a finished run or at films: the same command again heals what it left."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.runs.checkup import checkup
from plainfilm.storage.folders import kind_of

CHAIN = 4  # kills of one folder, one after the other
FAULTS = ("half", "moved", "moment", "written")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Films of another site: sixty, so that an adaptation has enough."""
    folder = tmp_path_factory.mktemp("site") / "site"
    for number in range(60):
        rng = np.random.default_rng(100 + number)
        picture = rng.normal(90, 20, (32, 40))
        picture[18:28, 5:15] += 90 * (number % 2)
        place = folder / ("PNEUMONIA" if number % 2 else "NORMAL") / f"other{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(place)
    return folder


# For each command: its words, given the run (a copy of its own), films, another site's films and the place to write to;
# the folder that is healed; and what is added when it runs again.
COMMANDS = {
    "evaluate": lambda run, films, site, out: (("evaluate", run, "--probes"), run, ()),
    "evaluate DATA": lambda run, films, site, out: (("evaluate", run, site, "--out", out), out, ()),
    "adapt": lambda run, films, site, out: (("adapt", run, site, "--out", out), out, ()),
    "explain": lambda run, films, site, out: (("explain", run, films, "--checks", 1, "--out", out), out, ()),
    "compare": lambda run, films, site, out: (("compare", run, run / "again", "--out", out), out, ()),
    "audit": lambda run, films, site, out: (("audit", films, "--out", out), out, ()),
    "search": lambda run, films, site, out: (
        ("search", films, "--out", out, "--budget", 4, "--model", "vgg", "--size", 16, "--epochs", 2, "--batch", 4),
        out,
        ("--resume",),
    ),
    "export": lambda run, films, site, out: (
        ("export", run, "--format", "safetensors", "--out", out / "model.safetensors"),
        out,
        (),
    ),
}


def fault(number, first, rng):
    """The number-th fault: inside a save (a file half written, written, or moved), or at a random moment."""
    where = FAULTS[number % len(FAULTS)]
    if where == "moment":
        return {"kill_after": rng.uniform(0, first.seconds)}
    return {"save": [int(rng.integers(1, first.saves + 1)), where]}


def tables(folder: Path) -> dict[str, bytes]:
    """The files of a folder that must not depend on kills: none that says when or how long."""
    kept = (path for path in folder.rglob("*") if path.suffix in (".csv", ".safetensors", ".png"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept if path.name != "search.csv"}


def whole_again(out: Path) -> bool:
    """Whether a folder is what a command that came to its end would leave."""
    return not list(out.rglob(".*.tmp")) and (not kind_of(out) or checkup(out)["ok"])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_command_again_heals_what_a_kill_left(
    command, nursery, whole, few_films, site, tmp_path, times, tally
):
    rng, wanted, kills, healed = np.random.default_rng(len(command)), times(20, 3), 0, 0
    cache = tmp_path / "cache"

    def begin(name):
        place = tmp_path / name
        shutil.copytree(whole[0], place / "run")
        if command == "compare":
            shutil.copytree(whole[0], place / "run" / "again")
        words, healed_folder, again = COMMANDS[command](place / "run", few_films, site, place / "out")
        return [*words, "--quiet"], healed_folder, again

    words, reference, _ = begin("reference")
    first = nursery.run(*words, cache=cache, save=[0, ""])
    assert first.code == 0, first.said
    assert whole_again(reference)
    for chain in count():
        words, out, again = begin(f"chain{chain}")
        done, in_chain = None, 0
        while in_chain < min(CHAIN, wanted - kills) and (done is None or done.code == -9):
            more = again if (out / "search.json").exists() else ()
            done = nursery.run(*words, *more, cache=cache, **fault(kills + in_chain, first, rng))
            assert done.code in (0, -9, 2), done.said
            in_chain += done.code == -9
        last = nursery.run(*words, *(again if (out / "search.json").exists() else ()), cache=cache)
        assert last.code in (0, 2), last.said  # refused where all was done already: then the kill came too late
        assert whole_again(out), (command, sorted(out.rglob(".*")))
        assert tables(out) == tables(reference)
        kills, healed = kills + in_chain, healed + in_chain
        if kills >= wanted:
            break
    tally(f"SIGKILL of {command} inside a save or at a random moment, then the same command: whole", kills, healed)
