"""What the command and the service change in their own process. Importing plainfilm changes nothing: a program that
uses it as a library keeps its own settings, or calls ``tune_process`` before it loads torch.
"""

from __future__ import annotations

import os

from plainfilm.machine import memory


def tune_process() -> None:
    """Let threads sleep while they wait, and freed memory stay with the process. What the environment says stands.

    To be called before torch is loaded, which reads OMP_WAIT_POLICY once. By default its threads spin, and when
    anything else runs here, each of the hundred waits of a training step costs a turn of the scheduler (LOG.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    memory.keep()
