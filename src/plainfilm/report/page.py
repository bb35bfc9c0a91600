"""One self-contained page from a template: no script, nothing asked of any other place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from plainfilm.report.words import unbroken
from plainfilm.storage import folders
from plainfilm.storage.files import write_text


def breakable(name: str) -> Markup:
    """Return a name of a file or folder, escaped, that a browser breaks behind a sign that joins words before it breaks
    it within one."""
    return Markup(re.sub(r"(?<=[_/])(?=\w)", "<wbr>", str(escape(name))))


def write_page(folder: Path, template: str, page: dict[str, Any]) -> Path:
    """Write ``folder``/report.html from one of our templates, in which ``page`` is called ``p``; return its path.

    Every page has ``title``, ``lead``, ``synthetic``, ``version``, ``protocol`` (the stamp), ``lines`` (red lines) and
    ``groups``: (heading, [(id, name of a section), …]) in the order of the page.
    """
    environment = Environment(
        loader=PackageLoader("plainfilm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    write_text(folder / folders.REPORT, unbroken(environment.get_template(template).render(p=page)))
    return folder / folders.REPORT
