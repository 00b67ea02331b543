"""Engines that speak and hear: espeak-ng and pocketsphinx behind OpenAI's audio paths.

    python -m tests.speech_engine PORT

It understands a few commands, such as "go forward ten meters".
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import wave
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from pocketsphinx import Decoder

RATE = 16000
"""Samples a second that the recogniser was trained on."""

GRAMMAR = """#JSGF V1.0;
grammar commands;
public <command> = (go | turn) (forward | backward | around) (two | ten) (meters | degrees);
"""


def speak(text: str) -> bytes:
    """The text as a WAV file."""
    return subprocess.run(
        ["espeak-ng", "-v", "en-us", "-s", "130", "--stdout", text], capture_output=True, check=True
    ).stdout


def hear(sound: bytes) -> str:
    """The command spoken in a WAV file."""
    with wave.open(io.BytesIO(sound)) as file:
        rate = file.getframerate()
        # A program that streams cannot say how long its file will be, so it claims the most.
        samples = np.frombuffer(file.readframes(len(sound)), np.int16)
    there = np.arange(0, len(samples) - 1, rate / RATE)
    resampled = np.interp(there, np.arange(len(samples)), samples).astype(np.int16)
    decoder = Decoder(samprate=RATE, lm=None, loglevel="FATAL")
    decoder.add_jsgf_string("commands", GRAMMAR)
    decoder.activate_search("commands")
    decoder.start_utt()
    decoder.process_raw(resampled.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/v1/audio/voices"):
            self._say(json.dumps({"voices": ["alloy"]}).encode(), "application/json")
        else:
            self._say(b"ok", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/audio/speech":
            self._say(speak(json.loads(body)["input"]), "audio/wav")
        else:
            text = hear(self._file_of(body))
            self._say(json.dumps({"text": text}).encode(), "application/json")

    def _file_of(self, body: bytes) -> bytes:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = BytesParser().parsebytes(head + body)
        for part in form.walk():
            if part.get_filename():
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                return content
        raise ValueError("the form has no file")

    def _say(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
