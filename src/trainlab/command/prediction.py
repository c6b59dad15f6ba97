"""scripts/predict.py: what a checkpoint says of pictures, and which training pictures are like them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from trainlab.command.arguments import Arguments
from trainlab.command.pictures import BATCH, read_images
from trainlab.configuration.stored import options_of
from trainlab.data.image_set import ImageSet, passed_over, spread
from trainlab.data.packed.format import PackedImages, is_packed, labels, read_packed
from trainlab.data.packed.listing import list_images
from trainlab.data.packed.pictures import read_picture
from trainlab.errors import InputError
from trainlab.figures.predictions import neighbours, top_classes
from trainlab.figures.style import save
from trainlab.recording.terminal import console
from trainlab.runtime.assembly import source as source_of
from trainlab.survival.trained import Trained, read_trained

MOST_DRAWN = 16  # pictures in a figure


def predict(arguments: Sequence[str]) -> None:
    """Print and draw the most probable classes of each picture. Raises InputError."""
    options = parse(arguments)
    for name, value in (("--top", options.top), ("--neighbours", options.neighbours), ("--among", options.among)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value} must be at least 1.")
    figure = Path(options.figure)
    if figure.suffix.lower() != ".png":
        raise InputError(f"--figure {figure} would be a PNG file", hint=f"name it {figure.with_suffix('.png')}")
    trained = read_trained(options.ckpt)
    if trained.augmentation is None:
        raise InputError(f"{options.ckpt} was trained on points of the plane, not on pictures.")
    names, images, skipped = read_images(options.images, trained)
    known, left_out = similar_set(options.similar, trained, options.among) if options.similar else (None, [])
    probabilities = torch.cat([trained.probabilities(part) for part in images.split(BATCH)])
    top = probabilities.topk(min(options.top, len(trained.classes)))
    classes = [[trained.classes[k] for k in row] for row in top.indices.tolist()]

    out = console()
    out.print(
        f"{trained.saved.path} · {trained.cfg.model.name} on {trained.cfg.data.name} · {len(trained.classes)} classes",
        soft_wrap=True,
    )
    out.print(table_of(names, classes, top.values))
    for sentence in [*skipped, *left_out]:
        out.print(sentence, soft_wrap=True)
    drawn = min(len(names), MOST_DRAWN)
    _save(top_classes(images[:drawn], names[:drawn], classes[:drawn], top.values[:drawn]), figure)
    more = f" (the first {drawn} of {len(names)})" if drawn < len(names) else ""
    out.print(f"figure: {os.path.relpath(figure)}{more}", soft_wrap=True)
    if known is not None:
        nearest = most_similar(trained, images, known, options.neighbours)
        table = Table(title="nearest training pictures, by the features before the last layer", title_justify="left")
        table.add_column("picture")
        table.add_column("their classes, nearest first")
        captions = [[known.classes[int(known.labels[i])] for i in row] for row in nearest.tolist()]
        for name, row in zip(names, captions, strict=True):
            table.add_row(name, ", ".join(row))
        out.print(table)
        beside = figure.with_name(f"{figure.stem}_similar{figure.suffix}")
        _save(neighbours(images[:drawn], [known.images[row] for row in nearest[:drawn]], captions[:drawn]), beside)
        out.print(f"figure: {os.path.relpath(beside)}{more}", soft_wrap=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of scripts/predict.py. Raises InputError."""
    parser = Arguments(
        prog="python scripts/predict.py", description="The most probable classes of pictures, as a table and a figure."
    )
    parser.add_argument("ckpt", metavar="CKPT", help="a checkpoint or a run directory")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a picture in any format, a folder, or - for stdin")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes for each picture (5)")
    parser.add_argument("--figure", default="predictions.png", metavar="FILE", help="the figure (predictions.png)")
    parser.add_argument(
        "--similar",
        metavar="SET",
        help="also the nearest of a set: train (the checkpoint's own data), a packed set, or a folder of classes",
    )
    parser.add_argument("--neighbours", type=int, default=6, metavar="K", help="of each picture (6)")
    parser.add_argument("--among", type=int, metavar="N", help="only N pictures of SET, evenly spread (all)")
    return parser.parse_args(list(arguments))


def table_of(names: Sequence[str], classes: Sequence[Sequence[str]], probabilities: Tensor) -> Table:
    """The table of the most probable classes of each picture."""
    table = Table(title="most probable classes", title_justify="left")
    table.add_column("picture", overflow="fold")
    for place in range(len(classes[0])):
        table.add_column(f"{place + 1}", overflow="fold")
    for name, row, values in zip(names, classes, probabilities.tolist(), strict=True):
        table.add_row(name, *(f"{what} {100 * value:.1f} %" for what, value in zip(row, values, strict=True)))
    return table


def similar_set(name: str, trained: Trained, among: int | None) -> tuple[ImageSet, list[str]]:
    """The pictures to look among, and sentences about what cannot be read. Raises InputError."""
    folder = Path(name)
    left_out: list[str] = []
    if name == "train":
        with options_of(str(trained.saved.path)):
            known = source_of(trained.cfg, may_fetch=False)().train
    elif not folder.is_dir():
        raise InputError(f"--similar {name} is no folder", hint="give a packed set, a folder of classes, or train")
    elif is_packed(folder):
        packed = read_packed(folder)
        known = ImageSet(PackedImages(packed, "train"), labels(packed, "train"), packed.classes)
    else:
        listing = list_images(folder)
        sources = listing.splits["train"]
        sources = [sources[i] for i in spread(len(sources), among)]
        channels = trained.saved.facts.input_shape[0]
        pixels, classes = [], []
        for source in sources:
            try:
                with source.open() as file:
                    pixels.append(read_picture(file, name=source.name, size=trained.stored, channels=channels))
                classes.append(source.label)
            except InputError as error:
                left_out.append(f"left out: {error}")
        if not pixels:
            raise InputError(f"none of the pictures of --similar {name} can be read; the first: {left_out[0]}")
        left_out += [passed_over(listing.passed_over)] if listing.passed_over else []
        stacked = torch.stack(pixels).contiguous(memory_format=torch.channels_last)
        known = ImageSet(stacked, torch.tensor(classes), listing.classes)
    if known.images.shape[1:] != (trained.saved.facts.input_shape[0], trained.stored, trained.stored):
        raise InputError(
            f"the pictures of {name} are {'×'.join(map(str, known.images.shape[1:]))} and the network's are "
            f"{trained.saved.facts.input_shape[0]}×{trained.stored}×{trained.stored}."
        )
    return known.take(spread(len(known), among)), left_out


def most_similar(trained: Trained, images: Tensor, known: ImageSet, count: int) -> Tensor:
    """The pictures of `known` whose features are nearest, by Euclidean distance: int64 (N, count) (Krizhevsky et al.
    2012, §6.1).
    """
    asked = torch.cat([trained.features(part) for part in images.split(BATCH)])
    distances = []
    for indices in torch.arange(len(known)).split(BATCH):
        distances.append(torch.cdist(asked, trained.features(known.some(indices))))
    together = torch.cat(distances, dim=1)
    return together.topk(min(count, len(known)), largest=False).indices


def _save(figure: Any, path: Path) -> None:
    try:
        save(figure, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--figure {path} cannot be written ({reason})", hint="choose another place") from error
