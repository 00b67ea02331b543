"""Ready-made pieces that show how a model is called (pure).

Everywhere `server` is the server's address without a path, such as `http://127.0.0.1:5800`, and
`keyed` tells whether it wants a key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from shlex import quote as shell_quote
from typing import Any, Final

from models_app.kinds import Kind

KEY: Final = "YOUR-KEY"
SOUND: Final = "speech.wav"
"""Where a program puts what was spoken."""
_CURL_KEY: Final = f"  -H 'Authorization: Bearer {KEY}' \\\n"


@dataclass(frozen=True, slots=True)
class Snippet:
    """Something to copy, and where it goes."""

    key: str
    name: str
    text: str


def every(server: str, model: str, kind: str, keyed: bool = False) -> list[Snippet]:
    """All that make sense for a model of this kind."""
    found = [
        Snippet("curl", "curl", curl(server, model, kind, keyed)),
        Snippet("python", "Python", python(server, model, kind, keyed)),
        Snippet("javascript", "JavaScript", javascript(server, model, kind, keyed)),
    ]
    if kind not in (Kind.EMBEDDING, Kind.RERANKER, Kind.SPEECH):
        found.append(Snippet("open-webui", "Open WebUI", open_webui(server, keyed)))
        found.append(Snippet("vs-code", "VS Code", vs_code(server, model, keyed)))
    return found


def curl(server: str, model: str, kind: str, keyed: bool = False) -> str:
    """A command for a POSIX shell that asks `model` something its kind can answer."""
    path, body = _example(model, kind)
    options = " --no-buffer" if body.get("stream") else ""
    if kind == Kind.SPEECH:
        options = f" --output {SOUND}"
    return (
        f"curl{options} \\\n"
        f"  {shell_quote(server + path)} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"{_CURL_KEY if keyed else ''}"
        f"  -d {shell_quote(_pretty(body))}"
    )


def python(server: str, model: str, kind: str, keyed: bool = False) -> str:
    """A program for the `openai` package; rerankers, which it does not know, by `requests`."""
    path, body = _example(model, kind)
    if kind == Kind.RERANKER:
        headers = f", headers={{'Authorization': 'Bearer {KEY}'}}" if keyed else ""
        body_text = json.dumps(body, ensure_ascii=False)
        return (
            "import requests\n\n"
            f"reply = requests.post({server + path!r}, json={body_text}{headers})\n"
            "print(reply.json())\n"
        )
    return (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={server + '/v1'!r}, api_key={KEY if keyed else 'none'!r})\n"
        f"{_python_call(model, kind)}"
    )


def _python_call(model: str, kind: str) -> str:
    if kind == Kind.EMBEDDING:
        return (
            f"reply = client.embeddings.create(model={model!r}, input='The sky is blue.')\n"
            "print(reply.data[0].embedding)\n"
        )
    if kind == Kind.SPEECH:
        return (
            f"reply = client.audio.speech.create(model={model!r}, voice='alloy',"
            f" input='Good morning.')\nreply.write_to_file({SOUND!r})\n"
        )
    if kind == Kind.BASE:
        return (
            f"reply = client.completions.create(model={model!r}, prompt='Once upon a time',"
            " max_tokens=64)\nprint(reply.choices[0].text)\n"
        )
    return (
        "stream = client.chat.completions.create(\n"
        f"    model={model!r},\n"
        "    messages=[{'role': 'user', 'content': 'Hello!'}],\n"
        "    stream=True,\n)\n"
        "for chunk in stream:\n"
        "    print(chunk.choices[0].delta.content or '', end='', flush=True)\n"
    )


def javascript(server: str, model: str, kind: str, keyed: bool = False) -> str:
    """For Node.js or a browser, with nothing installed; to keep sound in a file, for Node.js."""
    path, body = _example(model, kind)
    body = {name: value for name, value in body.items() if name != "stream"}
    key = f"\n    Authorization: 'Bearer {KEY}'," if keyed else ""
    return (
        f"const reply = await fetch({json.dumps(server + path)}, {{\n"
        "  method: 'POST',\n"
        f"  headers: {{\n    'Content-Type': 'application/json',{key}\n  }},\n"
        f"  body: JSON.stringify({_pretty(body)}),\n"
        "});\n"
        f"{_javascript_end(kind)}"
    )


def _javascript_end(kind: str) -> str:
    if kind == Kind.SPEECH:
        return (
            "const { writeFile } = await import('node:fs/promises');\n"
            f"await writeFile({json.dumps(SOUND)}, Buffer.from(await reply.arrayBuffer()));\n"
        )
    return "console.log(await reply.json());\n"


def open_webui(server: str, keyed: bool = False) -> str:
    """Open WebUI in a container, with all of this server's models."""
    inside = server.replace("127.0.0.1", "host.docker.internal").replace(
        "localhost", "host.docker.internal"
    )
    return (
        "docker run -d -p 3000:8080 --add-host=host.docker.internal:host-gateway \\\n"
        f"  -e OPENAI_API_BASE_URL={shell_quote(inside + '/v1')} \\\n"
        f"  -e OPENAI_API_KEY={shell_quote(KEY if keyed else 'none')} \\\n"
        "  -v open-webui:/app/backend/data ghcr.io/open-webui/open-webui:main\n"
    )


def vs_code(server: str, model: str, keyed: bool = False) -> str:
    """The Continue extension's config.yaml."""
    return (
        "# ~/.continue/config.yaml\n"
        "name: ClaraCore\nversion: 0.0.1\nschema: v1\nmodels:\n"
        f"  - name: {json.dumps(model)}\n"
        "    provider: openai\n"
        f"    model: {json.dumps(model)}\n"
        f"    apiBase: {json.dumps(server + '/v1')}\n"
        f"    apiKey: {json.dumps(KEY if keyed else 'none')}\n"
        "    roles: [chat, edit]\n"
    )


def _example(model: str, kind: str) -> tuple[str, dict[str, Any]]:
    if kind == Kind.EMBEDDING:
        return "/v1/embeddings", {"model": model, "input": "The sky is blue."}
    if kind == Kind.BASE:
        body = {"model": model, "prompt": "Once upon a time", "max_tokens": 64, "stream": True}
        return "/v1/completions", body
    if kind == Kind.RERANKER:
        documents = ["The sky is blue.", "Bread is baked."]
        body = {"model": model, "query": "What colour is the sky?", "documents": documents}
        return "/v1/rerank", body
    if kind == Kind.SPEECH:
        return "/v1/audio/speech", {"model": model, "input": "Good morning.", "voice": "alloy"}
    messages = [{"role": "user", "content": "Hello!"}]
    return "/v1/chat/completions", {"model": model, "messages": messages, "stream": True}


def _pretty(body: dict[str, Any]) -> str:
    """One field a line, and one line an item of a list: what a reader looks for is not wider."""
    fields = (f"    {json.dumps(name)}: {_value(value)}" for name, value in body.items())
    return "{\n" + ",\n".join(fields) + "\n  }"


def _value(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    items = (f"      {json.dumps(item, ensure_ascii=False)}" for item in value)
    return "[\n" + ",\n".join(items) + "\n    ]"
