"""Fetches a file in one request, from servers that give no parts of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence

import requests
import urllib3

from downloads_app.crew import READ_BYTES
from downloads_app.halt import Stopped
from downloads_app.pacing import Bandwidth
from downloads_app.remote import Remote, ask, host_of, refusal
from downloads_app.stage import Stage
from downloads_app.trouble import Kind, Trouble

REPORT_BYTES = 4 * 1024 * 1024


def fetch_in_one_go(
    session: requests.Session,
    remote: Remote,
    token: str,
    stage: Stage,
    stopped: threading.Event,
    limits: Sequence[Bandwidth],
    received: Callable[[int], None],
) -> tuple[int, str]:
    """Write the whole into the stage; returns its size in bytes and its SHA-256.

    `received` is told the bytes so far now and then. Raises Trouble and Stopped.
    """
    host = host_of(remote.url)
    reply = ask(session, remote.url, token if remote.secret else "", {})
    with reply:
        if reply.status_code != 200:
            raise refusal(reply, host)
        digest, at, told = hashlib.sha256(), 0, 0
        try:
            while data := reply.raw.read1(READ_BYTES):
                stage.write(data, at)
                digest.update(data)
                at += len(data)
                for limit in limits:
                    limit.spend(len(data), stopped)
                if stopped.is_set():
                    raise Stopped
                if at - told >= REPORT_BYTES:
                    received(told := at)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Trouble(Kind.STALLED, f"{host} sent nothing for too long.") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Trouble(Kind.CONNECTION, f"{host} cut the connection.") from error
    if remote.size is not None and at != remote.size:
        raise Trouble(Kind.CONNECTION, f"{host} ended after {at} of {remote.size} bytes.")
    return at, digest.hexdigest()
