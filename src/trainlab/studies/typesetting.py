"""Formulas that were typed on a keyboard, as they are printed."""

from __future__ import annotations

import re

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def raised(text: str) -> str:
    """Powers with whole exponents as superscripts: "x^2*y^(-10)" becomes "x²*y⁻¹⁰"; other powers keep their ^."""

    def superscript(power: re.Match[str]) -> str:
        return (power[1] or power[2]).translate(SUPERSCRIPTS)

    return re.sub(r"(?:\^|\*\*)(?:(\d+)(?![\w.(^])|\((-?\d+)\)(?!\^))", superscript, text)
