"""Texts in English and in Spanish beside each other, of which the page shows one."""

from __future__ import annotations

from html import escape

from trainlab.configuration.lecture import Text


def block(*texts: str) -> str:
    """Texts out of a file as HTML in which nothing is markup; of two that are the same, one."""
    return " ".join(escape(text) for text in dict.fromkeys(texts))


def inline(text: Text) -> str:
    """A text in both languages, escaped."""
    return tell(text["en"], text["es"])


def tell(english: str, spanish: str) -> str:
    """Plain texts, escaped, each marked with its language; one that is the same in both stands once."""
    if english == spanish:
        return escape(english)
    return in_one("en", escape(english)) + in_one("es", escape(spanish))


def in_one(lang: str, html: str, tag: str = "span") -> str:
    """HTML that is shown in one language only."""
    return f'<{tag} class="{lang}" lang="{lang}">{html}</{tag}>'
