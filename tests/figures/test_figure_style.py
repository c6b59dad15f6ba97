from __future__ import annotations

import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.textpath import TextPath
from PIL import Image

from trainlab.figures.style import (
    BLUE,
    DIVERGING,
    VERMILLION,
    fitting_size,
    new_figure,
    number,
    percent,
    save,
    shorten,
    styled,
)


def test_save_writes_a_png_of_the_size_asked_for(tmp_path):
    save(new_figure(4, 3, "A title"), tmp_path / "deep" / "figure.png", dpi=50)
    with Image.open(tmp_path / "deep" / "figure.png") as image:
        assert (image.format, image.size) == ("PNG", (200, 150))
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels[0, 0] == 255).all()
    assert pixels.min() < 100, "the title is dark"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["figure.png"]


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    figure = new_figure(2, 2)

    def fail(unfinished, **_):
        unfinished.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_equal_figures_are_equal_files(tmp_path):
    for name in ("a.png", "b.png"):
        save(new_figure(3, 2, "The same"), tmp_path / name, dpi=40)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_style_is_not_left_behind():
    before = dict(matplotlib.rcParams)
    with styled():
        assert matplotlib.rcParams["font.size"] == 16
    assert dict(matplotlib.rcParams) == before


def test_threads_draw_one_at_a_time_and_leave_no_style_behind(tmp_path):
    before = dict(matplotlib.rcParams)
    threads = [
        threading.Thread(target=lambda i=i: save(new_figure(3, 2, "A title"), tmp_path / f"{i}.png", dpi=40))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert dict(matplotlib.rcParams) == before


@pytest.mark.run
def test_importing_the_figures_imports_neither_pyplot_nor_lightning():
    code = (
        "import sys, trainlab.figures\n"
        "print([name for name in ('matplotlib.pyplot', 'pandas', 'lightning', 'hydra') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_zero_is_exactly_white_and_the_ends_are_the_palette():
    assert DIVERGING(0.5) == (1, 1, 1, 1)
    assert matplotlib.colors.to_hex(DIVERGING(0.0)).upper() == BLUE
    assert matplotlib.colors.to_hex(DIVERGING(1.0)).upper() == VERMILLION


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (0.0731, "7.3 %"), (0.00731, "0.73 %"), (1, "100 %"), (0.153, "15.3 %"), (0.00001, "0.00 %")],
)
def test_percent(fraction, text):
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (1000, "1,000"),
        (-2.5, "−2.5"),
        (1e-7, "10⁻⁷"),
        (2e-7, "2·10⁻⁷"),
        (1e12, "10¹²"),
        (-1e-7, "−1·10⁻⁷"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("text", "size"), [("short", 16), ("W" * 40, 16), ("", 16), ("$5 or $10" * 9, 12)])
def test_a_fitting_size_is_the_largest_that_fits(text, size):
    chosen = fitting_size(text, size, inches=3)
    with styled():
        width = TextPath((0, 0), text, size=chosen).get_extents().width if text else 0
    assert width == pytest.approx(3 * 72, rel=0.01) or (chosen == size and width < 3 * 72)


@given(st.text(max_size=40), st.integers(2, 30))
def test_shorten_keeps_the_limit_and_the_beginning(name, length):
    short = shorten(name, length)
    assert len(short) <= length
    assert short == name or (short.endswith("…") and name.startswith(short[:-1]))
