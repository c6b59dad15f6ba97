"""Tables in the terminal, and as plain text where there is no terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # it loads torch, and a table of many runs need not wait for that
    from trainlab.models.summary import LayerSummary

PLAIN_WIDTH = 160  # columns where standard output is a file


def console() -> Console:
    """Where messages are printed: standard output, wide where it is not a terminal, since rich would fold tables to
    80 columns.
    """
    out = Console(highlight=False, markup=False, emoji=False)
    return out if out.is_terminal else Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)


def layer_table(rows: Sequence[LayerSummary], *, title: str, connections: bool = False) -> Table:
    """A table of the layers: kernel, output, weights, neurons and the totals; with `connections` also stride,
    receptive field, and the weights that the layers would have with one group.
    """
    grouped = connections and any(row.groups > 1 for row in rows)
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("layer", "total")
    table.add_column("kernel", f"{sum(r.weights + r.biases for r in rows):,} parameters with the biases")
    if connections:
        table.add_column("stride", justify="right")
        table.add_column("receptive field", justify="right")
    table.add_column("output", justify="right")
    table.add_column("weights", f"{sum(r.weights for r in rows):,}", justify="right")
    if grouped:
        table.add_column("ungrouped", f"{sum(r.ungrouped for r in rows):,}", justify="right")
    table.add_column("neurons", f"{sum(r.neurons for r in rows):,}", justify="right")
    if connections:
        table.add_column("connections", f"{sum(r.connections for r in rows):,}", justify="right")
    for row in rows:
        height_width_maps = "×".join(str(side) for side in (*row.output[1:], row.output[0]))
        cells = [row.name, row.kernel]
        if connections:
            field = row.receptive_field
            cells += [str(row.stride), "all" if field is None else f"{field}×{field}"]
        cells += [height_width_maps, f"{row.weights:,}", *([f"{row.ungrouped:,}"] if grouped else [])]
        cells += [f"{row.neurons:,}", *([f"{row.connections:,}"] if connections else [])]
        table.add_row(*cells)
    return table


def result_table(values: Mapping[str, Any], run_dir: Path | None = None) -> Table:
    """Test errors in percent, one view and, where it was measured, the average over all views beside it.

    With a run directory also what the run cost and where it lies; `values` are then those of results.json.
    """
    views = ["", "_tencrop"] if "test/loss_tencrop" in values else [""]
    table = Table(title="test", title_justify="left")
    for heading in ("", "one view", f"{values.get('views', 10)} crops")[: 1 + len(views)]:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for name, key, form in (
        ("top-1 error", "top1_error", ".2%"),
        ("top-5 error", "top5_error", ".2%"),
        ("loss", "loss", ".4f"),
    ):
        cells = [values.get(f"test/{key}{view}") for view in views]
        table.add_row(name, *("–" if cell is None else format(cell, form) for cell in cells))
    if run_dir is None:
        return table
    table.add_section()
    if "seconds" in values and "last/training_seconds" in values:
        table.add_row(
            "time", f"{duration(values['seconds'])}, {duration(values['last/training_seconds'])} of it training"
        )
    if "images_per_second" in values:
        share = f" · MFU {values['mfu']:.1%}" if values.get("mfu", 0) >= 0.001 else ""
        table.add_row("images/s", f"{values['images_per_second']:,.0f}{share}")
    if "peak_memory_mb" in values:
        table.add_row("peak memory", f"{values['peak_memory_mb']:,.0f} MB")
    if "least_squares/weight_gap" in values and "least_squares/objective_gap" in values:
        gaps = values["least_squares/weight_gap"], values["least_squares/objective_gap"]
        table.add_row("distance to the least-squares solution", f"weights {gaps[0]:.1e}, objective {gaps[1]:.1e}")
    table.add_row("run", os.path.relpath(run_dir))
    return table


def profile_table(rows: Sequence[tuple[str, float, float]]) -> Table:
    """A table of the parts of a step: milliseconds and share of each, the whole step last."""
    table = Table(title="a training step", title_justify="left")
    table.add_column("part")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for number, (part, milliseconds, share) in enumerate(rows):
        if number + 1 == len(rows):
            table.add_section()
        table.add_row(part, f"{milliseconds:,.3f}", f"{share:.1%}")
    return table


def duration(seconds: float) -> str:
    """Seconds as people read them: 75 → "1:15", 3675 → "1:01:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def printable(text: str) -> str:
    """Without what moves a terminal's cursor or colours it."""
    return "".join(character if character.isprintable() else " " for character in text)
