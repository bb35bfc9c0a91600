"""What state an output folder is in: files present and unchanged, versions readable, finished or not, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from plainfilm.config import newer
from plainfilm.data.films import CELLS, FINDING, Film, FilmError, Films, Table, read_films
from plainfilm.errors import InputError, command_line
from plainfilm.evaluation.findings import FindingsPredictions
from plainfilm.evaluation.predictions import Predictions
from plainfilm.runs.folder import RunFolder
from plainfilm.storage import folders
from plainfilm.storage.files import SUMS, damaged, locked, read_json, read_sums
from plainfilm.storage.folders import Kind, kind_of

VALUES = {text: value for value, text in CELLS.items()}  # of a finding's cell


class Finding(NamedTuple):
    """One thing that was looked at: what, what was found, whether it is well, and what to do when it is not."""

    what: str
    found: str
    ok: bool
    advice: str = ""


def checkup(folder: Path) -> dict[str, Any]:
    """Look at an output folder and at the runs inside; nothing is changed.

    Returns {"folder", "kind", "state", "ok", "findings": [{"what", "found", "ok", "advice"}]}; "state" is "in use",
    "finished", "unfinished, can be resumed", "unfinished" or "damaged". InputError when it is no folder of ours.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of a run, a paper, folds, an audit or a search.")
    inside = sorted(p.parent for name in (folders.CONFIG, folders.METRICS) for p in folder.glob(f"*/{name}"))
    kind = kind_of(folder)
    if not kind:
        raise InputError(
            f"{folder} holds nothing that plainfilm wrote; give the folder of a run, an audit or the like."
        )
    findings = [*_found(folder, kind)]
    for run in dict.fromkeys(inside):
        findings += [f._replace(what=f"{run.name}: {f.what}") for f in _found(run, kind_of(run))]
    state = _state(kind, findings)
    ok = state == "finished"
    return {
        "folder": str(folder),
        "kind": kind.name,
        "state": state,
        "ok": ok,
        "findings": [f._asdict() for f in findings],
    }


def _state(kind: Kind, findings: list[Finding]) -> str:
    wrong = [f for f in findings if not f.ok]
    if any(f.what.endswith("lock") for f in wrong):
        return "in use"
    if any(not f.what.endswith("files") for f in wrong):
        return "damaged"
    if not wrong:
        return "finished"
    return "unfinished, can be resumed" if kind.resumable else "unfinished"


def _found(folder: Path, kind: Kind | None) -> Iterator[Finding]:
    yield _lock(folder)
    if kind:
        yield _files(folder, kind)
    yield from (_asked(name, check, folder) for name, check in CHECKS if (folder / name).exists())
    yield _asked(SUMS, _sums, folder)


def _asked(name: str, check: Callable[[Path], Finding], folder: Path) -> Finding:
    """What ``check`` finds; a file that can't be read, or lacks what it should hold, is a finding too."""
    try:
        return check(folder)
    except InputError as error:
        return Finding(name, str(error), False, _remedy(name, folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Finding(
            name, f"lacks what it should hold ({type(error).__name__}: {error})", False, _remedy(name, folder)
        )


def _remedy(name: str, folder: Path) -> str:
    return {
        folders.CHECKPOINT: "delete it and go on with --resume: the training begins again",
        folders.METRICS: f"write it again: {command_line('evaluate', folder)}",
        SUMS: "restore it from a copy",
    }.get(name, "restore it from a copy, or train again into another folder")


def _lock(folder: Path) -> Finding:
    if not (folder / ".lock").exists():
        return Finding("lock", "none", True)
    try:
        with locked(folder):
            return Finding("lock", "free", True)
    except InputError as error:
        return Finding("lock", str(error), False, "wait until it is done, and look again")
    except OSError:
        return Finding("lock", "can't be tried: the folder is read-only", True)


def _files(folder: Path, kind: Kind) -> Finding:
    missing = [name for name in kind.holds if not (folder / name).exists()]
    if not missing and (folder / SUMS).exists():
        return Finding("files", "all present", True)
    what = f"not there: {', '.join(missing or [SUMS])}"
    advice = "go on with the command that began it, and --resume" if kind.resumable else "run the command again"
    return Finding("files", what, False, advice)


def _sums(folder: Path) -> Finding:
    if not (folder / SUMS).exists():
        return Finding(SUMS, "not there: written when a command comes to its end", True)
    wrong = [name for name in damaged(folder) if (folder / name).exists() or Path(name).name != folders.FEATURES]
    if not wrong:
        return Finding(SUMS, f"{len(read_sums(folder))} files are as they were written", True)
    again = command_line("evaluate", folder)
    advice = f"restore them from a copy; make tables, figures and reports again by: {again}"
    return Finding(SUMS, f"not as written: {', '.join(wrong[:5])}{' …' * (len(wrong) > 5)}", False, advice)


def _config(folder: Path) -> Finding:
    config = read_json(folder / folders.CONFIG)
    made = config["plainfilm"]
    if newer(made):
        text = f"made by plainfilm {made}, newer than this one ({version('plainfilm')})"
        return Finding(folders.CONFIG, text, False, f"update plainfilm to {made} or newer")
    others = [
        f"{name} {was}, here {now}" for name, was in config["versions"].items() if (now := _installed(name)) != was
    ]
    said = f"plainfilm {made}; " + (
        f"other versions since: {'; '.join(others)}" if others else "the same versions here"
    )
    return Finding(folders.CONFIG, f"{said}; {len(config['settings'])} settings; begun by: {config['command']}", True)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _no_bytes(path: str, first: int = 0) -> bytes:
    raise FilmError("only its row is here")


def _films(folder: Path) -> Finding:
    rows = read_films(folder / folders.FILMS)
    if not (folder / folders.CONFIG).exists():
        return Finding(folders.FILMS, f"{len(rows)} films", True)
    config = read_json(folder / folders.CONFIG)
    films = Films(Table(map(_film, rows)), "", uncertain=config["settings"].get("uncertain", "ignore"))
    if films.data_hash != config["data_hash"]:
        return Finding(folders.FILMS, "not the films that config.json names", False, _remedy(folders.FILMS, folder))
    return Finding(folders.FILMS, f"{len(rows)} films, those that config.json names", True)


def _film(row: dict[str, str]) -> Film:
    cells = {name: cell for name, cell in row.items() if name.startswith(FINDING)}
    findings = {name.removeprefix(FINDING): VALUES[cell] for name, cell in cells.items()}
    return Film(row["path"], row["label"], _no_bytes, part=row["part"], sha256=row["sha256"], findings=findings)


def _model(folder: Path) -> Finding:
    from plainfilm.models.model import Model

    model = Model.load(folder)
    return Finding(folders.MODEL, f"{model.name}, whole: its own sum holds, every array fits ({model.hash[:12]})", True)


def _checkpoint(folder: Path) -> Finding:
    from plainfilm.models.bundle import read_bundle

    epoch = read_bundle(folder / folders.CHECKPOINT, "checkpoint").about["epoch"]
    return Finding(folders.CHECKPOINT, f"whole: --resume goes on after epoch {epoch}", True)


def _features(folder: Path) -> Finding:
    size = (folder / folders.FEATURES).stat().st_size / 1e6
    spare = f"{size:,.0f} MB that may be deleted: no command reads them, they are for your own programs"
    return Finding(folders.FEATURES, spare, True)


def _metrics(folder: Path) -> Finding:
    """Do the scores follow from predictions.csv? Accuracy alone is counted again, of every part, and every finding."""
    metrics = read_json(folder / folders.METRICS)
    if not (folder / folders.DESCRIPTION).exists():
        return Finding(folders.METRICS, metrics["protocol"], True)
    run = RunFolder(folder)
    said = run.findings if run.of_findings else run.predictions
    for what, films, scores in _scored(said, metrics):
        told, counted = scores["accuracy"]["value"], float((films.decided == films.labels).mean())
        if abs(counted - told) > 1e-9:
            text = f"{what}: accuracy {told:.4f}, but predictions.csv gives {counted:.4f}"
            return Finding(folders.METRICS, text, False, _remedy(folders.METRICS, folder))
    return Finding(folders.METRICS, f"agrees with the {len(said)} rows of predictions.csv", True)


def _scored(
    said: Predictions | FindingsPredictions, metrics: Mapping[str, Any]
) -> Iterator[tuple[str, Predictions, Mapping[str, Any]]]:
    """Yield what was scored (a part, or a finding in it), its films and its scores in metrics.json."""
    for part in sorted(set(said.parts.tolist())):
        films = said.part(part)
        if isinstance(films, Predictions):
            yield part, films, metrics[part]
        else:
            each = ((name, found) for name, found in metrics[part]["findings"].items() if "scores" in found)
            yield from ((f"{part}, {name}", films.of(name), found["scores"]) for name, found in each)


CHECKS: tuple[tuple[str, Callable[[Path], Finding]], ...] = (
    (folders.CONFIG, _config),
    (folders.FILMS, _films),
    (folders.CHECKPOINT, _checkpoint),
    (folders.MODEL, _model),
    (folders.METRICS, _metrics),
    (folders.FEATURES, _features),
)
