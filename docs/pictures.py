"""Take the pictures of README and tour from real runs on synthetic films, in a real browser: `make pictures`.

    python docs/pictures.py

Needs chromium (Debian: chromium). docs/pictures.json keeps what each picture was made from, so that a test can say
which ones are older than what they show.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # where the tests load this file from elsewhere

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from texts import shown_by

from plainfilm.cli import main
from plainfilm.commands.demo import write_films

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "plainfilm"
MADE_FROM = HERE / "pictures.json"
REPORT_SIZE, PAGE_SIZE = (960, 1200), (1280, 800)  # width and height in pixels
LARGEST = 200_000  # bytes of a picture
PATIENCE = 120_000  # milliseconds
RUN = ["--model", "vgg-bn", "--epochs", "30", "--precision", "32", "--quiet"]
DEMO, FILMS = 240, 6  # films of the demo set; on the service's page

REPORT = ("report/templates/base.html", "report/templates/macros.html", "report/templates/style.css")
SHOWN = {
    "report.png": (*REPORT, "report/templates/run.html", "report/verdict.py"),
    "tour-audit.png": (*REPORT, "report/templates/audit.html", "report/audit.py"),
    "tour-labels.webp": ("report/figures.py",),
    "page.webp": ("serving/web/index.html", "serving/web/style.css"),
}


def made_from(picture: str) -> str:
    """Return the SHA-256 of what a picture shows: templates and styles whole, of code the words in it alone."""
    found = hashlib.sha256()
    for name in SHOWN[picture]:
        text = (SOURCE / name).read_text(encoding="utf-8")
        words = [shown for shown in shown_by(text) if " " in shown.strip()] if name.endswith(".py") else [text]
        found.update("\n".join(sorted(words)).encode())
    return found.hexdigest()


def keep(shot: bytes, name: str) -> None:
    """Write a picture small: few colours for text (PNG), WebP where there are films."""
    place = HERE / name
    with Image.open(io.BytesIO(shot)) as picture:
        if place.suffix == ".webp":
            picture.thumbnail((PAGE_SIZE[0], PAGE_SIZE[0]))
            picture.convert("RGB").save(place, quality=80, method=6)
        else:
            picture.convert("RGB").quantize(64).save(place, optimize=True)
    if place.stat().st_size > LARGEST:
        raise SystemExit(f"{name} has {place.stat().st_size:,} bytes; {LARGEST:,} are the most.")


def opened(browser: Browser, address: str, size: tuple[int, int] = REPORT_SIZE) -> Page:
    """Return a page of the browser at an address."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(address)
    return page


def verdict(browser: Browser, report: Path) -> bytes:
    """Return the picture of a report from its title to the end of its verdict."""
    page = opened(browser, report.as_uri())
    box = page.locator("#verdict").bounding_box()
    assert box is not None
    return page.screenshot(
        clip={"x": 0, "y": 0, "width": REPORT_SIZE[0], "height": box["y"] + box["height"] + box["x"]}
    )


def command(*given: str) -> None:
    """Run one command; SystemExit when it fails."""
    if main(list(given)):
        raise SystemExit(f"plainfilm {' '.join(given)} failed.")


def service(browser: Browser, run: Path, films: list[Path]) -> bytes:
    """Return the picture of the service's page with films, one of them open with its heat map."""
    serve = [sys.executable, "-m", "plainfilm", "serve", str(run), "--port", "0", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        try:
            page = opened(browser, json.loads(process.stdout.readline())["url"], PAGE_SIZE)  # type: ignore[union-attr]
            page.set_input_files("#files", films)
            expect(page.locator("#status")).to_contain_text("labelled", timeout=PATIENCE)
            expect(page.locator("#mapNote")).to_contain_text("what speaks for", timeout=PATIENCE)
            page.wait_for_timeout(500)
            return page.screenshot()
        finally:
            process.terminate()


def pictures() -> None:
    """Run audit, train and label on the demo set, and take every picture of ``SHOWN``."""
    browser_at = shutil.which("chromium")
    if browser_at is None:
        raise SystemExit("chromium is needed for pictures; install it.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        place = Path(folder)
        films = place / "demo" / "films"
        write_films(films, DEMO, seed=0)
        command("audit", str(films), "--out", f"{folder}/audit", "--quiet")
        command("train", str(films), "--out", f"{folder}/run", *RUN)
        command(
            "label", f"{folder}/run", str(films), "--out", f"{folder}/labels.csv", "--montage", f"{folder}/labels.png"
        )
        browser = play.chromium.launch(executable_path=browser_at, args=["--no-sandbox", "--disable-gpu"])
        keep(verdict(browser, place / "run" / "report.html"), "report.png")
        keep(verdict(browser, place / "audit" / "report.html"), "tour-audit.png")
        keep((place / "labels.png").read_bytes(), "tour-labels.webp")
        sick = sorted((films / "PNEUMONIA").iterdir())[: FILMS // 2]
        keep(service(browser, place / "run", [*sick, *sorted((films / "NORMAL").iterdir())[: FILMS // 2]]), "page.webp")
    MADE_FROM.write_text(json.dumps({name: made_from(name) for name in SHOWN}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    pictures()
