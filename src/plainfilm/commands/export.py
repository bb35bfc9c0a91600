"""A run's model as a file for other programs, checked against the original on films before it stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plainfilm.errors import InputError, did_you_mean, refuse
from plainfilm.export.films import check_pixels
from plainfilm.export.onnx import write_onnx
from plainfilm.export.safetensors import write_safetensors
from plainfilm.models.model import Model
from plainfilm.report.verdict import as_it_stands
from plainfilm.storage.files import remove_left_over, sha256_file

FORMATS = ("onnx", "safetensors")


def export(
    run: Path, form: str, out: Path, *, films: Sequence[str] = (), force: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Write the model of ``run`` as ``form`` to ``out`` and return what was written and how it was checked.

    ONNX is checked on ``films`` (paths); without any on synthetic films and the run's validation films, where
    they are still to be had; 64 drawn by ``seed`` at most. safetensors is read back bit for bit. InputError for an
    unknown form, films that can't be read, or a file in the way and no ``force``.
    """
    if form not in FORMATS:
        raise InputError(f"There is no format '{form}'.{did_you_mean(form, FORMATS)}")
    if form == "safetensors":
        refuse("safetensors, which are read back bit for bit", {"films": list(films)})
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a file.")
    if out.exists() and not force:
        raise InputError(f"{out} exists; choose another name, or add --force to replace it.")
    if out.exists() and not _exported(out):  # a run's own model, a table, …
        raise InputError(f"{out} is nothing that export wrote, and --force does not replace it; name another.")
    remove_left_over(out)
    model = Model.load(run, "32")  # as the file that is held against it
    model.verdict = as_it_stands(run, model.verdict)
    if "red_lines_of" in model.verdict:
        model.verdict["red_lines_of"] = "as the run had them when it was exported"
    told: dict[str, Any] = {"out": str(out), "format": form, "model": model.name}
    if form == "onnx":
        pixels, real = check_pixels(model, run, films, seed)
        told["largest_difference"] = write_onnx(model, out, pixels)
        told |= {"real_films": real, "synthetic_films": len(pixels) - real}
    else:
        told["values"] = write_safetensors(model, out)
    return {**told, "bytes": out.stat().st_size, "sha256": sha256_file(out)}


def _exported(out: Path) -> bool:
    """Whether a file begins as ours: ONNX names who made it, safetensors has our name in its JSON."""
    with open(out, "rb") as file:
        head = file.read(2**20)
    return (
        not head
        or (head[:1] == b"\x08" and b"plainfilm" in head[:256])
        or (head[8:9] == b"{" and b'"plainfilm"' in head)
    )
