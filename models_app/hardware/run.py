"""Runs the small programs that tell about hardware."""

from __future__ import annotations

import shutil
import subprocess

ANSWER_SECONDS = 20


def output_of(program: str, *arguments: str) -> str:
    """What the program prints; "" when it is not there, fails, or is silent for too long."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else ""
