"""Powers in the titles of figures."""

from __future__ import annotations

import pytest

from trainlab.studies.backprop.display import typeset
from trainlab.studies.typesetting import raised


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("0.2+0.4*x^2+x**10", "0.2+0.4*x²+x¹⁰"),
        ("(x-0.4)^2*y^(-1)", "(x-0.4)²*y⁻¹"),
        ("x^y+x^2.5+2^(x+1)+x^2e", "x^y+x^2.5+2^(x+1)+x^2e"),
        ("x^2^3", "x^2³"),
        ("x^(2)^3", "x^(2)³"),
    ],
)
def test_only_whole_exponents_are_raised(typed, printed):
    assert raised(typed) == printed


def test_a_title_has_no_signs_of_a_keyboard():
    assert typeset("sigmoid(x*y^2-1)", 60) == "σ(x·y²−1)"
