"""Build the docs site into site/ with Zensical, offline; a link that leads nowhere fails.

    python docs/website.py      (in an environment with docs/requirements.txt: `make site`)

The pages are those of docs/ and the three files in ``ELSEWHERE``, which stand where GitHub readers look for them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BUILD = ROOT / "build" / "site"
SITE = ROOT / "site"
ELSEWHERE = {
    "README.md": "index.md",  # only as the aim of a link: the site's first page is docs/index.md
    "LOG.md": "evidence/log.md",
    "CHANGELOG.md": "changes.md",
    "benchmarks/results.md": "evidence/benchmarks.md",
}
ASSETS = (".png", ".webp", ".svg", ".json")  # what pages show or link to, besides pages
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}  # without a click


def pages() -> dict[str, Path]:
    """Return the site's pages: their place in the site, and the file that each is made from."""
    own = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
    return own | {place: ROOT / name for name, place in ELSEWHERE.items() if name != "README.md"}


def assets() -> dict[str, Path]:
    """Return the site's pictures and schemas, as ``pages`` does."""
    own = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*")) if path.suffix in ASSETS}
    return own | {f"evidence/{path.name}": path for path in sorted((ROOT / "benchmarks").glob("*.svg"))}


def aim(source: Path, link: str) -> str:
    """Return where in the site a relative link of ``source`` leads; ValueError where the site has no such file."""
    target = Path(os.path.normpath(source.parent / link)).relative_to(ROOT).as_posix()
    place = ELSEWHERE.get(target) or target.removeprefix("docs/").replace("benchmarks/", "evidence/")
    if place not in pages() and place not in assets():
        raise ValueError(f"{source.relative_to(ROOT)}: the site has no page for {link}")
    return place


def moved(text: str, source: Path, place: str) -> str:
    """Return a page's text with its links as they are at ``place`` in the site."""

    def leads(match: re.Match[str]) -> str:
        link, _, anchor = match[1].partition("#")
        if not link or "://" in link or link.startswith("mailto:"):
            return match[0]
        to = os.path.relpath(aim(source, link), PurePosixPath(place).parent)
        return f"]({to}{'#' + anchor if anchor else ''})"

    parts = CODE.split(text)  # every second is code, and stays as it is
    parts[::2] = [LINK.sub(leads, part) for part in parts[::2]]
    return spaced("".join(parts))


def spaced(text: str) -> str:
    """Return Markdown with an empty line before each list and table: GitHub's needs none, Python's does."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        begins = re.match(r"([-*]|\d+\.) |\|", line) and lines and re.match(r"[^\s|#>*\d-]", lines[-1])
        lines += ["", line] if begins and not fenced else [line]
    return "\n".join(lines) + "\n"


def gather() -> None:
    """Write all that Zensical needs into build/site."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for place, source in (pages() | assets()).items():
        target = BUILD / "pages" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        if source.suffix == ".md":
            target.write_text(moved(source.read_text(encoding="utf-8"), source, place), encoding="utf-8")
    shutil.copy(DOCS / "zensical.toml", BUILD)


class Page(HTMLParser):
    """What a built page links to, loads and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        where = LOADED.get(tag, "href" if tag == "a" else "")
        if where in found:
            (self.loads if tag in LOADED else self.links).append(found[where])


def faults(site: Path) -> list[str]:
    """Return what is wrong with a built site: links into nothing, and whatever is loaded from another address."""
    built = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in built.items():
        wrong += [f"{path.name} loads {link}" for link in page.loads if "//" in link]
        for link in page.links + page.loads:
            name, _, anchor = link.partition("#")
            if "//" in link or link.startswith("mailto:") or path.name == "404.html":
                continue
            aimed = Path(os.path.normpath(path.parent / name)) if name else path
            if not aimed.exists() or (anchor and aimed in built and anchor not in built[aimed].anchors | {"__skip"}):
                wrong.append(f"{path.relative_to(site)} links to {link}")
    return wrong


def main() -> int:
    """Build and check; return the exit code."""
    gather()
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run([zensical, "build", "--strict", "--clean"], cwd=BUILD, check=False)
    if done.returncode:
        return done.returncode
    if wrong := faults(BUILD / "site"):
        return print("\n".join(wrong), file=sys.stderr) or 1
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(BUILD / "site", SITE)
    print(f"{len(pages())} pages in site/; read them with: python -m http.server --directory site")
    return 0


if __name__ == "__main__":
    sys.exit(main())
