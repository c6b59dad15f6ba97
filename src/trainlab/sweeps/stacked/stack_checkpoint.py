"""What a stack saves of itself while it trains, so that it can go on: the states of all its members in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainlab.survival.checkpoint import AtomicCheckpoints
from trainlab.sweeps.stacked.member import MemberState


@dataclass(frozen=True)
class SavedMember:
    """A state that was saved. cohort: the same for members that were trained together; together they go on."""

    state: MemberState
    cohort: tuple[str, int]


def save(file: Path, cohorts: Sequence[Sequence[MemberState]], fingerprints: Mapping[str, str]) -> None:
    """Write the states of members that are trained together, whole or not at all. fingerprints: of the members'
    configurations, by their names. Raises RunError.
    """
    names = [state.name for cohort in cohorts for state in cohort]
    content = {
        "cohorts": [[state.plain() for state in cohort] for cohort in cohorts],
        "fingerprints": {name: fingerprints[name] for name in names},
    }
    AtomicCheckpoints().save_checkpoint(content, file)


def load(files: Sequence[Path], fingerprints: Mapping[str, str]) -> dict[str, SavedMember]:
    """The states in these files of members with the same configuration, the furthest of each; what cannot be read is
    left out. fingerprints: of those that are looked for.
    """
    found: dict[str, SavedMember] = {}
    for file in files:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            then = content["fingerprints"]
            cohorts = [[MemberState.from_plain(plain) for plain in cohort] for cohort in content["cohorts"]]
        except Exception:  # arbitrary bytes can raise anything here
            print(f"{file} cannot be read; what it held of the stack begins anew")
            continue
        for number, cohort in enumerate(cohorts):
            for state in cohort:
                before = found.get(state.name)
                further = before is None or len(state.rows.values) > len(before.state.rows.values)
                if further and fingerprints.get(state.name) == then.get(state.name):
                    found[state.name] = SavedMember(state, (str(file), number))
    return found
