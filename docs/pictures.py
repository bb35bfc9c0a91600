"""Take the README's picture: a report of a real run on synthetic films, by a real browser.

    python docs/pictures.py

Needs chromium (Debian: chromium). Run it again when reports look otherwise: `make pictures`.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from plainfilm.cli import main

HERE = Path(__file__).parent
RUN = ["train", "demo:240", "--model", "vgg-bn", "--epochs", "30", "--precision", "32", "--quiet"]


def pictures() -> int:
    """Train, open the report, keep its first screen as docs/report.png; return the exit code."""
    browser = shutil.which("chromium")
    if browser is None:
        return print("chromium is needed for pictures; install it.", file=sys.stderr) or 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        if main([*RUN, "--out", f"{folder}/run"]):
            return 1
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"file://{folder}/run/report.html")
        shot = page.screenshot()
    with Image.open(io.BytesIO(shot)) as picture:
        picture.convert("RGB").quantize(64).save(HERE / "report.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(pictures())
