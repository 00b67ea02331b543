"""Ready-made commands that show how a model is called (pure)."""

from __future__ import annotations

import json
from shlex import quote as shell_quote
from typing import Any
from urllib.parse import quote as url_quote

from models_app.kinds import Kind


def curl(server: str, model: str, kind: str) -> str:
    """A command for a POSIX shell that asks `model` something its kind can answer.

    `server` is the server's address without a path, such as `http://127.0.0.1:5800`.
    """
    path, body = _example(model, kind)
    options = " --no-buffer" if body.get("stream") else ""
    return (
        f"curl{options} \\\n"
        f"  {shell_quote(server + path)} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shell_quote(_pretty(body))}"
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
        return f"/upstream/{url_quote(model, safe='')}/v1/rerank", body
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
