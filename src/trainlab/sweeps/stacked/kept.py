"""What a stack saves of itself while it trains, so that it can go on: all its members' standings in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainlab.survival.checkpoint import AtomicCheckpoints
from trainlab.sweeps.stacked.member import Standing


@dataclass(frozen=True)
class Found:
    """A standing that was saved. company: the same for members that were trained together; together they go on."""

    standing: Standing
    company: tuple[str, int]


def save(file: Path, companies: Sequence[Sequence[Standing]], fingerprints: Mapping[str, str]) -> None:
    """Write the standings of members that are trained together, whole or not at all. fingerprints: of the members'
    configurations, by their names. Raises RunError.
    """
    names = [standing.name for company in companies for standing in company]
    content = {
        "companies": [[standing.plain() for standing in company] for company in companies],
        "fingerprints": {name: fingerprints[name] for name in names},
    }
    AtomicCheckpoints().save_checkpoint(content, file)


def load(files: Sequence[Path], fingerprints: Mapping[str, str]) -> dict[str, Found]:
    """The standings in these files of members with the same configuration, the furthest of each; what cannot be read
    is left out. fingerprints: of those that are looked for.
    """
    found: dict[str, Found] = {}
    for file in files:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            then = content["fingerprints"]
            companies = [[Standing.from_plain(plain) for plain in company] for company in content["companies"]]
        except Exception:  # arbitrary bytes can raise anything here
            print(f"{file} cannot be read; what it held of the stack begins anew")
            continue
        for number, company in enumerate(companies):
            for standing in company:
                before = found.get(standing.name)
                further = before is None or len(standing.rows.values) > len(before.standing.rows.values)
                if further and fingerprints.get(standing.name) == then.get(standing.name):
                    found[standing.name] = Found(standing, (str(file), number))
    return found
