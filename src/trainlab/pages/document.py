"""One HTML file that needs no network: its styles, scripts, data and pictures inside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from trainlab.errors import InputError
from trainlab.survival.atomic import atomic_write

# Whatever a record contains, the page asks nobody for anything and runs no script but its own.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def document(
    title: str,
    body: str,
    *,
    lang: str = "en",
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
) -> str:
    """A whole page. The same arguments give the same text.

    title: plain text. body: HTML; whoever writes it has escaped what comes out of records. styles, scripts: texts,
    in their order; scripts run after the body is there. data: values by the id of the element that holds each as JSON,
    read with `JSON.parse(document.getElementById(id).textContent)`.
    """
    parts = [
        "<!doctype html>",
        f'<html lang="{escape(lang)}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>",
        *(f"<style>\n{style}</style>" for style in styles),
        "</head>",
        "<body>",
        body,
        *(
            f'<script type="application/json" id="{escape(name)}">{as_data(value)}</script>'
            for name, value in (data or {}).items()
        ),
        *(f"<script>\n{script}</script>" for script in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def write_document(file: Path, text: str, *, hint: str) -> None:
    """A page to the disk, whole or not at all. Raises InputError, with `hint`, where it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, text)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror})", hint=hint) from error


def as_data(value: Any) -> str:
    """JSON that stays data inside of a script element, whatever text is in it: no "<" is left."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def static(name: str) -> str:
    """The text of a file in pages/static."""
    return (files("trainlab.pages") / "static" / name).read_text(encoding="utf-8")


def picture_uri(file: Path) -> str:
    """A PNG, GIF or SVG as an address that holds all of it."""
    kind = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}[file.suffix]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
