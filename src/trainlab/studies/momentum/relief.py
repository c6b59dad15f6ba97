"""A height above each place of a map, with its exact gradient; and where water would run on it.

Heights are given on a grid of longitudes and latitudes and interpolated bilinearly between them. Slopes are in metres
per metre: a degree of longitude is cos φ times as long as one of latitude.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainlab.errors import InputError

SHIPPED = {"topobathy": "topobathy.npz", "jacksboro": "jacksboro_fault_dem.npz"}  # with matplotlib
HEIGHTS = ("topo", "elevation", "height", "heights")  # names of the array in such a file
METRES_PER_DEGREE = 6_371_008.8 * math.pi / 180  # of latitude, on a sphere with the mean radius of the Earth
FINER = 8  # the lattice that water runs on has so many steps to each of the map's
UNDISPUTED = 4  # steps of that lattice: whose neighbours so far away drain into the same pit is off the divide


@dataclass(frozen=True)
class Relief:
    """A map of heights, bilinear between its points. Places on it are float64 (N, 2): longitude and latitude in
    degrees.

    heights: float64 (H, W), metres, the southernmost row first. longitude (W,), latitude (H,): float64, degrees,
    ascending.
    """

    name: str
    heights: Tensor
    longitude: Tensor
    latitude: Tensor

    def at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Height and slope at places, float64 (N, 2): metres (N,), and metres per metre to the east and to the north
        (N, 2).

        They are exact: in a cell, h = a + bu + cv + duv. Beyond the map's edge the nearest cell goes on.
        """
        height, to_east, to_north, _ = self.ground(*places.T.contiguous())
        return height, torch.stack([to_east, to_north], dim=1)

    def ground(self, east: Tensor, north: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Heights, slopes to the east and to the north, and cos φ of the latitude, each (N,), at these degrees."""
        row, column = self.rows(north), self.columns(east)
        wide, high = self.widths[column], self.tall[row]
        u, v = (east - self.longitude[column]) / wide, (north - self.latitude[row]) / high
        corner = row * len(self.longitude) + column
        south_west, south_east = self.heights.take(corner), self.heights.take(corner + 1)
        corner = corner + len(self.longitude)
        north_west, north_east = self.heights.take(corner), self.heights.take(corner + 1)
        b, c = south_east - south_west, north_west - south_west
        d = north_east - south_east - c
        shrunk = torch.cos(torch.deg2rad(north))
        to_east = (b + d * v) / (wide * shrunk * METRES_PER_DEGREE)
        upwards = c + d * u
        return south_west + b * u + upwards * v, to_east, upwards / (high * METRES_PER_DEGREE), shrunk

    def columns(self, east: Tensor) -> Tensor:
        """The columns of the western corners of the cells at these longitudes: int64 (N,)."""
        return torch.bucketize(east.detach(), self.longitude[1:-1], right=True)

    def rows(self, north: Tensor) -> Tensor:
        """The rows of the southern corners of the cells at these latitudes: int64 (N,)."""
        return torch.bucketize(north.detach(), self.latitude[1:-1], right=True)

    def cells(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column of the south-western corner of the cells at these places: int64 (N,) twice."""
        return self.rows(places[:, 1].contiguous()), self.columns(places[:, 0].contiguous())

    def outside(self, east: Tensor, north: Tensor) -> Tensor:
        """Which places are off the map: bool (N,)."""
        west_east = (east < self.longitude[0]) | (east > self.longitude[-1])
        return west_east | (north < self.latitude[0]) | (north > self.latitude[-1])

    @cached_property
    def widths(self) -> Tensor:
        """The widths of the columns of cells, in degrees of longitude: float64 (W − 1,)."""
        return self.longitude.diff()

    @cached_property
    def tall(self) -> Tensor:
        """The heights of the rows of cells, in degrees of latitude: float64 (H − 1,)."""
        return self.latitude.diff()

    @cached_property
    def cell(self) -> float:
        """The side in metres of a square as large as a cell in the middle of the map."""
        middle = self.latitude.mean()
        square = self.widths.mean() * self.tall.mean() * torch.cos(torch.deg2rad(middle))
        return float(square.sqrt()) * METRES_PER_DEGREE

    @cached_property
    def pits(self) -> np.ndarray:
        """Which points of the map are pits: bool (H, W).

        A pit is lower than its four neighbours, above the sea and not on the map's edge. On a bilinear surface these
        are the only places from where all ways lead up; level ground is none of them.
        """
        h = self.heights.numpy()
        middle = h[1:-1, 1:-1]
        lowest = np.minimum.reduce([h[1:-1, :-2], h[1:-1, 2:], h[:-2, 1:-1], h[2:, 1:-1]])
        return np.pad((middle < lowest) & (middle > 0), 1)

    def starts(self, number: int, seed: int) -> Tensor:
        """Random places on the land (above 0 m), float64 (number, 2), every km² alike. Raises InputError for a map
        without land.
        """
        if not (self.heights > 0).any():
            raise InputError(f"relief={self.name} has no land (no height above 0 m) to start from.")
        random = np.random.default_rng(seed)
        west, east = float(self.longitude[0]), float(self.longitude[-1])
        south, north = (math.sin(math.radians(float(self.latitude[i]))) for i in (0, -1))
        found = torch.empty(0, 2, dtype=torch.float64)
        while len(found) < number:
            drawn = random.uniform((west, south), (east, north), (4 * number, 2))
            drawn[:, 1] = np.degrees(np.arcsin(drawn[:, 1]))
            places = torch.from_numpy(drawn)
            found = torch.cat([found, places[self.at(places)[0] > 0]])
        return found[:number]


def metres_per_degree(places: Tensor) -> Tensor:
    """Metres in a degree of longitude and of latitude at these places: float64 (N, 2)."""
    east = torch.cos(torch.deg2rad(places[:, 1])) * METRES_PER_DEGREE
    return torch.stack([east, torch.full_like(east, METRES_PER_DEGREE)], dim=1)


def distance(here: Tensor, there: Tensor) -> Tensor:
    """Metres between places (N, 2) that are near each other, float64 (N,)."""
    return torch.hypot(*((there - here) * metres_per_degree(here)).T)


def load(relief: str) -> Relief:
    """One of the grids that matplotlib ships, by its name, or a file of the same form. Raises InputError.

    A .npz file has the heights, (H, W) in metres, under one of HEIGHTS, and the degrees of its columns and rows under
    "longitude" and "latitude"; or, as matplotlib's jacksboro_fault_dem.npz, the edges "xmin", "xmax", "ymin" (of the
    first row) and "ymax".
    """
    if relief in SHIPPED:
        from matplotlib.cbook import get_sample_data

        arrays = dict(get_sample_data(SHIPPED[relief]))
    else:
        arrays = read(Path(relief).expanduser(), relief)
    name = next((name for name in HEIGHTS if name in arrays), None)
    if name is None:
        raise InputError(f"relief={relief} has no array of heights; name it one of {', '.join(HEIGHTS)}.")
    heights = arrays[name]
    if heights.ndim != 2 or min(heights.shape) < 3 or not np.issubdtype(heights.dtype, np.number):
        raise InputError(f"relief={relief}: {name} has the shape {heights.shape}; use numbers (H, W), at least 3 × 3.")
    longitude, latitude = axes(arrays, heights.shape, relief)
    heights = heights.astype(np.float64)
    if latitude[0] > latitude[-1]:
        heights, latitude = heights[::-1], latitude[::-1]
    if not (np.isfinite(heights).all() and (np.diff(longitude) > 0).all() and (np.diff(latitude) > 0).all()):
        raise InputError(f"relief={relief} needs finite heights, and longitudes and latitudes in order.")
    if abs(latitude).max() >= 90:
        raise InputError(f"relief={relief} has latitudes up to {abs(latitude).max():g}; they lie between −90 and 90.")
    return Relief(relief, *(torch.from_numpy(np.ascontiguousarray(a)) for a in (heights, longitude, latitude)))


def read(file: Path, relief: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file. Raises InputError."""
    if not file.is_file():
        raise InputError(f"relief={relief} is not there; use {', '.join(SHIPPED)} or a FILE.npz.")
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"relief={relief} cannot be read as a .npz file of plain arrays; numpy.savez makes one."
        ) from error


def axes(arrays: dict[str, np.ndarray], shape: tuple[int, ...], relief: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes (W,) and latitudes (H,), float64 degrees, in the order of the columns and rows. Raises InputError."""
    rows, columns = shape
    edges = ("xmin", "xmax", "ymin", "ymax")
    try:
        if all(name in arrays for name in edges):  # the heights are those of the cells' middles
            west, east, first, last = (float(arrays[name]) for name in edges)
            longitude = west + (np.arange(columns) + 0.5) * (east - west) / columns
            latitude = first + (np.arange(rows) + 0.5) * (last - first) / rows
        else:
            longitude, latitude = (arrays[name].astype(np.float64) for name in ("longitude", "latitude"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"relief={relief} needs the arrays longitude and latitude, degrees, as numbers.") from error
    if longitude.shape != (columns,) or latitude.shape != (rows,):
        raise InputError(
            f"relief={relief}: longitude {longitude.shape} and latitude {latitude.shape} do not fit heights {shape}; "
            f"use ({columns},) and ({rows},)."
        )
    return longitude, latitude


def drains_to(relief: Relief, starts: Tensor, most: int = 100_000) -> tuple[Tensor, Tensor]:
    """Where steepest descent on a lattice ends (D8, O'Callaghan & Mark 1984): again and again to that of the eight
    neighbours that lies lowest for its distance, until none lies lower or the sea is reached.

    The lattice has FINER steps to each of the map's. Returns the ends' places (N, 2), and bool (N,), whether all of the
    neighbourhood, up to UNDISPUTED steps away, ends there too. Nothing here is the descent that it is compared with.
    """
    rows, columns = ((n - 1) * FINER + 1 for n in relief.heights.shape)
    row, column = relief.cells(starts)
    near = torch.stack(
        [
            column * FINER + ((starts[:, 0] - relief.longitude[column]) / relief.widths[column] * FINER).round(),
            row * FINER + ((starts[:, 1] - relief.latitude[row]) / relief.tall[row] * FINER).round(),
        ],
        dim=1,
    ).long()
    around = torch.cartesian_prod(*[torch.tensor([0, -UNDISPUTED, UNDISPUTED])] * 2)
    size = torch.tensor([columns, rows])
    begun = (near[None] + around[:, None]).clamp_(torch.zeros(2, dtype=torch.long), size - 1)
    nodes = begun.reshape(-1, 2)
    eight = torch.cartesian_prod(*[torch.tensor([-1, 0, 1])] * 2)
    eight = eight[eight.abs().sum(1) > 0]
    running = torch.arange(len(nodes))
    for _ in range(most):
        here = place_of(relief, nodes[running])
        height = relief.at(here)[0]
        beside = nodes[running][:, None] + eight
        on_map = ((beside >= 0) & (beside < size)).all(-1)
        there = place_of(relief, beside.clamp(torch.zeros(2, dtype=torch.long), size - 1).reshape(-1, 2))
        drop = height[:, None] - relief.at(there)[0].reshape(-1, 8)
        fall = drop / distance(here.repeat_interleave(8, 0), there).reshape(-1, 8)
        steepest, which = torch.where(on_map, fall, -math.inf).max(1)
        goes_on = (steepest > 0) & (height > 0)
        running = running[goes_on]
        if not len(running):
            break
        nodes[running] += eight[which[goes_on]]
    ends = place_of(relief, nodes).reshape(len(around), -1, 2)
    sea = (relief.at(ends.reshape(-1, 2))[0] <= 0).reshape(len(around), -1)
    same = ((ends - ends[0]).abs().amax(-1) == 0) | (sea & sea[0])
    return ends[0], same.all(0)


def place_of(relief: Relief, nodes: Tensor) -> Tensor:
    """Points of the lattice, int64 (N, 2) of column and row, as places, float64 (N, 2) of longitude and latitude."""
    axes_of = ((relief.longitude, relief.widths), (relief.latitude, relief.tall))
    parts = []
    for (degrees, steps), node in zip(axes_of, nodes.unbind(1), strict=True):
        cell = (node // FINER).clamp(max=len(steps) - 1)
        parts.append(degrees[cell] + (node - cell * FINER) / FINER * steps[cell])
    return torch.stack(parts, dim=1)
