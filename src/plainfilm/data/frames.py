"""DataFrames in and out. pandas is optional: whoever hands one in has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from plainfilm.errors import InputError
from plainfilm.storage.tables import FIRST_ROW, Rows

if TYPE_CHECKING:
    import pandas


def is_frame(data: Any) -> bool:
    """Return whether ``data`` is a DataFrame of pandas (or of another library with its methods)."""
    return hasattr(data, "columns") and hasattr(data, "itertuples")


def frame_rows(frame: Any) -> tuple[list[str], Rows]:
    """Return (header, rows) of a DataFrame as ``read_table`` returns those of a file; a missing value is empty."""
    header = [str(name) for name in frame.columns]
    small = {name: name.lower() for name in header if name.lower() in ("path", "label", "patient", "part", "split")}
    header = [small.get(name, name) for name in header]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"The DataFrame has the column {twice[0]} twice; each name may stand once.")

    def rows() -> Rows:
        for number, cells in enumerate(frame.itertuples(index=False, name=None), FIRST_ROW):
            yield number, {name: _text(cell) for name, cell in zip(header, cells, strict=True)}

    return header, rows()


def _text(cell: Any) -> str:
    """Return a cell as a CSV file would have it; pandas has whole numbers beside missing ones as floats."""
    if cell is None or cell != cell or str(cell) in ("<NA>", "NaT"):
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def to_html(heading: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a small table as HTML, for notebooks."""
    cells = "".join(f"<th>{escape(str(name))}</th>" for name in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div><p>{escape(heading)}</p><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"


def to_frame(columns: Mapping[str, Any]) -> pandas.DataFrame:
    """Return a DataFrame of ``columns``; InputError without pandas."""
    try:
        from pandas import DataFrame
    except ImportError:
        raise InputError("A DataFrame needs the package pandas; run: pip install 'plainfilm[pandas]'.") from None
    return DataFrame(dict(columns))
