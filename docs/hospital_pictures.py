"""Run the commands of docs/hospital.md in a folder of their own, and take the page's pictures in a real browser.

    python docs/hospital_pictures.py

Needs Orthanc with its web viewer, DCMTK and chromium (Debian: see the page's first command), and npm for OHIF.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from hospital_ohif import ohif, picture_of_answer
from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
ARCHIVE = "http://127.0.0.1:8043"
SKIPPED = ("sudo ", "pip ", "xdg-open ")
PATIENCE = 120  # seconds


def commands() -> list[str]:
    """The lines of the page's first block of commands."""
    (block,) = re.findall(r"```bash\n(.*?)```", (HERE / "hospital.md").read_text(), re.DOTALL)
    return [line for line in block.splitlines() if not line.startswith(SKIPPED)]


def save(shot: bytes, name: str) -> None:
    """Keep a picture, small: 200 colours are enough for a page of text, and a film with its map is none of these."""
    with Image.open(io.BytesIO(shot)) as picture:
        if name.endswith(".webp"):
            picture.convert("RGB").save(HERE / name, quality=80, method=6)
        else:
            picture.convert("RGB").quantize(200).save(HERE / name, optimize=True)


def shown(page: Page, address: str, name: str, seconds: float = 3) -> None:
    """Take the picture of one address once it has settled."""
    page.goto(f"{ARCHIVE}{address}")
    page.wait_for_timeout(1000 * seconds)
    save(page.screenshot(), name)


def as_page(report: str) -> str:
    """Return a report as DCMTK's dsr2html shows it, from its measurements on."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(httpx.get(f"{ARCHIVE}/instances/{report}/file").content)
        file.flush()
        done = subprocess.run(["dsr2html", file.name], capture_output=True, text=True, check=True)
    return done.stdout.replace("<hr>", "", 1)


def pictures() -> None:
    """Take all pictures of the archive's pages as they are now."""
    series = httpx.get(f"{ARCHIVE}/series?expand").json()
    by_modality = {each["MainDicomTags"]["Modality"]: each for each in series}
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # OHIF draws with WebGL
    with sync_playwright() as started, ohif(ARCHIVE) as address:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1100, "height": 620})
        shown(page, f"/app/explorer.html#study?uuid={by_modality['DX']['ParentStudy']}", "hospital-study.png")
        viewer = f"/web-viewer/app/viewer.html?series={by_modality['OT']['ID']}"
        shown(page, viewer, "hospital-picture.webp", 6)
        page.set_content(as_page(by_modality["SR"]["Instances"][0]))
        save(page.screenshot(), "hospital-report.png")
        (study,) = httpx.get(f"{ARCHIVE}/studies?expand").json()
        save(picture_of_answer(page, address, study["MainDicomTags"]["StudyInstanceUID"]), "hospital-ohif.webp")
        browser.close()


def main() -> None:
    """Run the commands, take the pictures, end what was started."""
    folder = Path(tempfile.mkdtemp(prefix="hospital-"))
    shutil.copytree(HERE.parent / "deploy", folder / "deploy")
    alias = f'plainfilm() {{ "{sys.executable}" -m plainfilm "$@"; }}\n'
    script = alias + "set -e\n" + "\n".join(commands()) + "\ntouch ready\nwait\n"
    process = subprocess.Popen(["bash", "-c", script], cwd=folder, start_new_session=True)
    try:
        until = time.monotonic() + 10 * PATIENCE
        while not (folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit("the commands of docs/hospital.md do not end well")
            time.sleep(1)
        while len(httpx.get(f"{ARCHIVE}/series").json()) < 3 and time.monotonic() < until:
            time.sleep(1)
        pictures()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
