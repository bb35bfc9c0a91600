"""Runs the notebooks and stores what they show: `make notebooks`; with names only those.

Each runs in an empty folder, so that nothing it shows is a path of this machine. What goes to standard error (how far a
training is) is left out. The stored sum of its code says whether the outputs are those of the cells as they stand.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
SECONDS = 1800  # a cell, on a busy machine


def notebooks() -> list[Path]:
    """Return the notebooks, in the order of their names."""
    return sorted(HERE.glob("*.ipynb"))


def sum_of(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the code of all cells."""
    code = "\n\0\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run all cells in ``folder``, store their outputs, and return the notebook; an error where a cell fails."""
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks are tiny
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day
        if cell.cell_type == "code":
            cell.outputs = [_plain(output) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "code_sha256": sum_of(notebook),
        }
    )
    return notebook


def _plain(output: NotebookNode) -> NotebookNode:
    """Leave out what changes with every run and shows nothing: an object's address."""
    if text := output.get("data", {}).get("text/plain"):
        output.data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", text)
    return output


def main(names: list[str]) -> None:
    """Run the notebooks in ``names``, all without, and write them."""
    for path in notebooks():
        if not names or path.stem in names:
            with tempfile.TemporaryDirectory() as folder:
                done = run(nbformat.read(path, as_version=4), Path(folder))
            nbformat.write(done, path)
            print(path.name, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
