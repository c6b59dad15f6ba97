"""What a stack saves of itself while it trains, so that it can go on: all its members' standings in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from trainlab.survival.checkpoint import AtomicCheckpoints
from trainlab.sweeps.stacked.member import Standing


def save(file: Path, standings: Sequence[Standing], fingerprints: Mapping[str, str]) -> None:
    """Write the standings, whole or not at all. fingerprints: of the members' configurations, by their names. Raises
    RunError.
    """
    content = {
        "standings": [standing.plain() for standing in standings],
        "fingerprints": {standing.name: fingerprints[standing.name] for standing in standings},
    }
    AtomicCheckpoints().save_checkpoint(content, file)


def load(files: Sequence[Path], fingerprints: Mapping[str, str]) -> dict[str, Standing]:
    """The standings in these files of members with the same configuration, the furthest of each; what cannot be read
    is left out. fingerprints: of those that are looked for.
    """
    found: dict[str, Standing] = {}
    for file in files:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            then = content["fingerprints"]
            standings = [Standing.from_plain(plain) for plain in content["standings"]]
        except Exception:  # arbitrary bytes can raise anything here
            print(f"{file} cannot be read; what it held of the stack begins anew")
            continue
        for standing in standings:
            name = standing.name
            if fingerprints.get(name) == then.get(name) and (name not in found or _is_further(standing, found[name])):
                found[name] = standing
    return found


def _is_further(one: Standing, other: Standing) -> bool:
    return len(one.rows.values) > len(other.rows.values)
