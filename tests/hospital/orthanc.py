"""A real Orthanc with its DICOMweb plug-in on loopback, to be started, killed and asked what it holds."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ORTHANC = shutil.which("Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE = 30  # seconds


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Orthanc:
    """An archive in ``folder``; ``title``@127.0.0.1:``port``."""

    folder: Path
    title: str = "ORTHANC"
    port: int = field(default_factory=free_port)
    http: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def peer(self) -> str:
        return f"{self.title}@127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def web(self) -> str:
        return f"{self.url}/dicom-web"

    def start(self, **settings: Any) -> Orthanc:
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "Plugins": [str(plugin) for plugin in PLUGIN.parent.glob("libOrthanc*.so")],
            "DicomAet": self.title,
            "DicomPort": self.port,
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": False,
            "StableAge": 1,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        }
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(about | settings))
        with open(self.folder / "log.txt", "ab") as log:
            self.process = subprocess.Popen([ORTHANC or "Orthanc", str(config)], stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/system", timeout=1).status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.1)
        raise TimeoutError((self.folder / "log.txt").read_text()[-2000:])

    def stop(self, hard: bool = False) -> None:
        """End it; ``hard``: at once."""
        if self.process:
            (self.process.kill if hard else self.process.terminate)()
            self.process.wait(PATIENCE)
            self.process = None

    def get(self, path: str) -> Any:
        """What the REST API says."""
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE).raise_for_status().json()

    def post(self, data: bytes) -> None:
        """Put an object in by REST."""
        httpx.post(f"{self.url}/instances", content=data, timeout=PATIENCE).raise_for_status()

    def file(self, instance: str) -> bytes:
        """The bytes of an object."""
        return httpx.get(f"{self.url}/instances/{instance}/file", timeout=PATIENCE).raise_for_status().content

    def held(self) -> list[dict[str, str]]:
        """Modality, study, series and SOP instance UID of every object, in no order."""
        found = self.get("/instances?expand")
        series = {s["ID"]: s["MainDicomTags"] for s in self.get("/series?expand")}
        parents = {s["ID"]: s["ParentStudy"] for s in self.get("/series?expand")}
        studies = {s["ID"]: s["MainDicomTags"] for s in self.get("/studies?expand")}
        return [
            {
                "id": each["ID"],
                "modality": series[each["ParentSeries"]].get("Modality", ""),
                "study": studies[parents[each["ParentSeries"]]]["StudyInstanceUID"],
                "uid": each["MainDicomTags"]["SOPInstanceUID"],
            }
            for each in found
        ]
