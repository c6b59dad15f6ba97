"""The look that all figures share, and how they reach the disk."""

from __future__ import annotations

import io
import os
import textwrap
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from PIL import Image

if TYPE_CHECKING:
    from trainlab.recording.section import Series

# Okabe and Ito, "Color Universal Design" (2008): told apart with every common form of colour blindness.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
INK = "#222222"
GREY = "#6E6E6E"
PALE = "#E4E4E4"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)  # curves beside each other, in this order

SLIDE = (12.8, 7.2)  # inches: at SLIDE_DPI 1280×720 pixels
SLIDE_DPI = 100
FRAME = (9.6, 5.4)  # inches, of the figures that a slider goes through

# An odd number of steps, so that the middle step, where zero falls, is exactly white.
DIVERGING = LinearSegmentedColormap.from_list("trainlab", [BLUE, "white", VERMILLION], N=257)

# Sizes in points on a figure some 12 inches wide, the width of a slide: legible from the back row.
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the figures are the same on every machine
    "font.size": 16,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5 or $10"
    "text.usetex": False,
    "axes.titlesize": 16,
    "axes.labelsize": 16,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "white",
    "axes.grid": False,
    "grid.color": PALE,
    "grid.linewidth": 1.0,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "xtick.major.pad": 7,  # points; keeps the two numbers at the corner apart
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2.5,
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.13,  # inches
    "figure.constrained_layout.w_pad": 0.13,
    "figure.titlesize": 20,
    "figure.titleweight": "bold",
    "savefig.facecolor": "white",
    "savefig.bbox": None,
}

_one_at_a_time = threading.RLock()


@contextmanager
def styled() -> Iterator[None]:
    """A context manager, or a decorator, in which figures have this project's style: `@styled()`.

    matplotlib keeps its settings in one global dictionary, so only one thread at a time is let in.
    """
    with _one_at_a_time, matplotlib.rc_context(STYLE):
        yield


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of `width` × `height` inches; nothing added to it later overlaps or is clipped."""
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        if title:
            # Bold letters of 20 points are some 0.18 inches wide.
            figure.suptitle(textwrap.fill(title, max(10, int(width / 0.18))))
        return figure


def new_slide(title: str = "") -> Figure:
    """An empty figure of the shape of a slide, 1280×720 pixels at SLIDE_DPI."""
    return new_figure(*SLIDE, title)


def new_frame(symbol: str) -> tuple[Figure, Text]:
    """An empty figure of 9.6 × 5.4 inches for a slider, and its title, to be written anew for each value.

    symbol: what the slider moves, such as "η"; the title until then, so that its height is kept free.
    """
    figure = new_figure(*FRAME)
    return figure, figure.suptitle(symbol)


def sign(figure: Figure, text: str) -> None:
    """Small print along the lower edge: the seed and the command that made the figure."""
    with styled():
        figure.supxlabel(text, x=0.995, ha="right", fontsize=9, color=GREY)


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Writes a PNG; `path` is either the whole new file or what it was before, never a part."""
    with whole(Path(path)) as unfinished:
        _write_png(figure, unfinished, dpi)


def save_animation(frames: Iterable[Figure], path: str | os.PathLike[str], seconds: float = 1.5) -> None:
    """Writes a GIF that is repeated for ever, each frame shown so long and the last one twice. Whole, as `save`."""
    pictures = []
    for frame in frames:
        buffer = io.BytesIO()
        _write_png(frame, buffer, SLIDE_DPI)
        pictures.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE))
    first, *rest = pictures
    milliseconds = [round(1000 * seconds)] * len(rest) + [round(2000 * seconds)]
    with whole(Path(path)) as unfinished:
        first.save(unfinished, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)


def save_series(series: Mapping[str, Series], folder: Path, small_print: str = "") -> list[dict[str, Any]]:
    """Writes folder/NAME/1.png, 2.png, … of each, and returns what section.json says of them. Fewer where there
    turns out to be nothing to draw.
    """
    listed = []
    for name, one in series.items():
        values: list[str] = []
        files: list[Path] = []
        for value, figure in zip(one.values, one.draw(), strict=False):
            if small_print:
                sign(figure, small_print)
            files.append(folder / name / f"{len(files) + 1}.png")
            values.append(value)
            save(figure, files[-1], dpi=SLIDE_DPI)
        named = [f"{folder.name}/{name}/{file.name}" for file in files]
        listed.append({"name": name, "symbol": one.symbol, "values": values, "figures": named})
    return listed


def _write_png(figure: Figure, file: Path | io.BytesIO, dpi: int) -> None:
    with styled(), warnings.catch_warnings():
        # Letters that the font has not are drawn as boxes; nothing is to be done about that at each of them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Without the version of matplotlib inside, equal figures are equal files.
        figure.savefig(file, dpi=dpi, format="png", metadata={"Software": None})


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Inside, a file to write to; afterwards it is `path`, unless writing failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def percent(fraction: float) -> str:
    """A fraction in percent, with two digits where errors are small: 0.0731 → "7.3 %", 0.00731 → "0.73 %"."""
    value = 100 * fraction
    if value == 0 or value == 100:
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 1 else f"{value:.1f} %"


def number(value: float) -> str:
    """A number for an axis, without matplotlib's maths: 0.05, 1,000, 2·10⁻⁷."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.6g}".replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    mantissa = mantissa.removesuffix(".0").replace("-", "−")
    return power if mantissa == "1" else f"{mantissa}·{power}"


def tick(value: float, place: float | None = None) -> str:
    """`number`, as matplotlib calls for each tick: axis.set_major_formatter(tick)."""
    return number(value)


def fitting_size(text: str, size: float, inches: float) -> float:
    """The font size in points, at most `size`, at which `text` is at most `inches` wide."""
    with styled():
        width = TextPath((0, 0), text, size=size).get_extents().width if text.strip() else 0.0
    return size if width <= 72 * inches else size * 72 * inches / width


def shorten(name: str, length: int) -> str:
    """A name of at most `length` characters; what was cut is shown as "…"."""
    return name if len(name) <= length else name[: max(1, length - 1)].rstrip() + "…"
