"""An earlier checkout's ours.py as a side that takes turns with today's: `run.py --before CHECKOUT` starts it."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    checkout = Path(os.environ["PLAINFILM_BEFORE"])
    sys.path[:0] = [str(checkout / "src"), str(checkout / "benchmarks")]
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as its commands do before they load torch
    os.environ["PYTHONPATH"] = str(checkout / "src")  # of the commands that it starts
    runpy.run_path(str(checkout / "benchmarks" / "ours.py"), run_name="__main__")
