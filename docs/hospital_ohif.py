"""OHIF, the viewer, over an archive's DICOMweb: its own pages as npm's @ohif/app brings them, for a picture.

Pages and DICOMweb must come from one address, or a browser refuses: a small server hands on what is asked of DICOMweb.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page

PACKAGE = "@ohif/app@3.12.10"
WEB = "/dicom-web"
SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "dicomweb",
    "configuration": {
        "friendlyName": "Orthanc",
        "name": "orthanc",
        **dict.fromkeys(("wadoUriRoot", "qidoRoot", "wadoRoot"), WEB),
        **dict.fromkeys(("imageRendering", "thumbnailRendering"), "wadors"),
        "supportsWildcard": True,
        "omitQuotationForMultipartRequest": True,
    },
}
SETTINGS = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "investigationalUseDialog": {"option": "never"},
    "showCPUFallbackMessage": False,
    "defaultDataSourceName": "dicomweb",
    "dataSources": [SOURCE],
}


@contextmanager
def ohif(archive: str) -> Iterator[str]:
    """Yield the address of OHIF over the archive at ``archive``."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as packed:
            packed.extractall(folder, filter="data")
        pages = Path(folder) / "package" / "dist"
        (pages / "app-config.js").write_text(f"window.config = {json.dumps(SETTINGS)};")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(pages, archive))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _handler(pages: Path, archive: str) -> type[http.server.SimpleHTTPRequestHandler]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(pages))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith(WEB):
                return self._hand_on()
            if not (pages / self.path.split("?")[0].lstrip("/")).is_file():
                self.path = "/index.html"
            return super().do_GET()

        def _hand_on(self) -> None:
            found = httpx.get(archive + self.path, headers={"Accept": self.headers.get("Accept", "*/*")}, timeout=60)
            self.send_response(found.status_code)
            self.send_header("Content-Type", found.headers.get("Content-Type", ""))
            self.end_headers()
            self.wfile.write(found.content)

    return Handler


def picture_of_answer(page: Page, address: str, study: str) -> bytes:
    """Return a screenshot of a study, by its UID, with our picture open."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{address}/viewer?StudyInstanceUIDs={study}")
    page.get_by_text("Skip all").click(timeout=120_000)  # of its tour
    page.get_by_text("plainfilm picture").first.dblclick(timeout=120_000)
    page.wait_for_timeout(30_000)
    return page.screenshot()
