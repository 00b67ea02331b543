"""Drives the API of a real, fresh server by its own description, for as long as asked.

    python -m tests.fuzz_api [SECONDS]

Folders are left out: a made-up one may be the root of this machine, and the worker would read it
whole. So is what would fetch builds of llama-server from their real home. The short run in
tests/integration/api/test_schemathesis.py has the folders, and has what may answer 503 because a
client did not want to wait.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ggufs import write_embedder, write_reciter
from tests.server import running_server

USUAL_SECONDS = "300"
LEFT_OUT = (
    "^(events|scan_folder|add_folders|remove_folders|generate_all|regenerate"
    "|update_binary|force_update_binary|install_engine)$"
)
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def main(seconds: str = USUAL_SECONDS) -> int:
    """Fuzz for `seconds`; the exit status of schemathesis, which is 1 when it found something."""
    with tempfile.TemporaryDirectory(prefix="claracore-fuzz-") as scratch:
        folder = Path(scratch) / "models"
        folder.mkdir()
        write_reciter(folder / "fox-f32.gguf", "Hello there.")
        write_embedder(folder / "letters-f32.gguf")
        with running_server(folder) as server:
            server.wait_for_models("fox", "letters")
            command = [
                *(str(Path(sys.executable).with_name("schemathesis")), "run"),
                *(f"{server.url}/api/schema/", f"--max-time={seconds}"),
                *(f"--checks={','.join(CHECKS)}", f"--exclude-operation-id-regex={LEFT_OUT}"),
                *("--continue-on-failure", "--warnings=off", "--suppress-health-check=all"),
            ]
            done = subprocess.run(command, check=False, cwd=scratch)
            if done.returncode:
                print(server.said()[-4000:], file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
