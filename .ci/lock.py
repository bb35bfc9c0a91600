"""Write requirements.lock: what pip resolves for plainfilm[test] on this machine, each wheel with its SHA-256.

Wheels differ by platform and Python, so the lock holds for those named in its first lines and for no others; elsewhere
constraints.txt gives the same versions without hashes.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Every wheel that the tests need, by hash, for CPython {python} on {system}; written by: make lock
# pip install --require-hashes --no-deps -r requirements.lock && pip install --no-deps -e .
"""


def resolved() -> list[dict]:
    """Ask pip what it would install into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--constraint", "constraints.txt", ".[test]"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)["install"]


def line_of(item: dict) -> str:
    """One line of the lock."""
    name, about = item["metadata"]["name"].lower().replace("_", "-"), item["download_info"]["archive_info"]
    return f"{name}=={item['metadata']['version']} --hash=sha256:{about['hashes']['sha256']}\n"


def main() -> None:
    """Write the file."""
    lines = sorted(line_of(item) for item in resolved() if item["metadata"]["name"] != "plainfilm")
    head = HEAD.format(
        python=".".join(platform.python_version_tuple()[:2]), system=f"{platform.system()} {platform.machine()}"
    )
    (ROOT / "requirements.lock").write_text(head + "".join(lines))


if __name__ == "__main__":
    main()
