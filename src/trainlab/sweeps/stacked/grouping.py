"""Which points of a sweep are trained as one, told from their configurations alone, and why a point is not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainlab.sweeps.point import NOT_COMPARED

STACKED = {
    "model": ("trainlab.models.perceptron.Perceptron", "trainlab.models.mlp.MLP"),
    "optim": ("trainlab.optim.GradientDescent", "trainlab.optim.Momentum"),
    "loss": ("trainlab.objective.CrossEntropy", "trainlab.objective.HalfMSE"),
}
# What the points of a stack may differ in, beside whole groups
OWN = {
    "model": ("activation", "output_activation", "dropout", "init"),
    "data": ("split_seed", "label_noise"),
    "points": (
        "name",
        "_target_",
        "noise",
        "split_seed",
        "label_noise",
    ),  # of the plane, which are made as many as n_samples says
}
IN_COMMON = ("model", "data", "aug", "loss", "trainer", "ablation")  # groups; in the others each has its own


@dataclass(frozen=True)
class Grouping:
    """stacks: the points of each, by their indices. alone: why a point is run by itself, by its index."""

    stacks: list[list[int]]
    alone: dict[int, str]


def group(points: Sequence[Mapping[str, Any]]) -> Grouping:
    """Put points together that can be trained as one. points: resolved configurations, as plain containers."""
    stacks: dict[str, list[int]] = {}
    alone: dict[int, str] = {}
    for index, plain in enumerate(points):
        reason = why_alone(plain)
        if reason is not None:
            alone[index] = reason
        else:
            stacks.setdefault(in_common(plain), []).append(index)
    for indices in [indices for indices in stacks.values() if len(indices) == 1]:
        alone[indices[0]] = "no other point has a network, data and training of these sizes"
    return Grouping([indices for indices in stacks.values() if len(indices) > 1], dict(sorted(alone.items())))


def why_alone(plain: Mapping[str, Any]) -> str | None:
    """Why a point cannot be trained in a stack; None where it can. plain: its resolved configuration."""
    trainer, optim = plain["trainer"], plain["optim"]
    for name, known in STACKED.items():
        if plain[name]["_target_"] not in known:
            return f"{name}={plain[name]['name']} is not written for stacks"
    asked = {
        "optim.tolerance": optim.get("tolerance"),
        "optim.freeze_first_after": optim.get("freeze_first_after"),
        "debug": (plain.get("debug") or {}).get("name"),
        "profile": plain["profile"] or None,
        "trainer.compile": trainer["compile"] or None,
        "trainer.devices": trainer["devices"] if trainer["devices"] > 1 else None,
        "trainer.nodes": trainer["nodes"] if trainer["nodes"] > 1 else None,
        "trainer.precision": trainer["precision"] if trainer["precision"] != "float32" else None,
        "ckpt": plain["ckpt"],
    }
    for option, value in asked.items():
        if value is not None:
            return f"{option}={json.dumps(value).strip(chr(34))} is for a run by itself"
    return None


def in_common(plain: Mapping[str, Any]) -> str:
    """A text that is the same for points that can be trained as one."""
    parts: dict[str, Any] = {name: plain.get(name) for name in IN_COMMON}
    for name in ("model", "data"):
        kind = "points" if name == "data" and "n_samples" in plain["data"] else name
        parts[name] = {key: value for key, value in plain[name].items() if key not in OWN[kind]}
    return json.dumps(parts, sort_keys=True, default=str)


def fingerprint(plain: Mapping[str, Any]) -> str:
    """Hexadecimal digits for all of a configuration that changes the numbers."""
    told = {key: value for key, value in plain.items() if key not in NOT_COMPARED}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def said(grouping: Grouping, at_a_time: int) -> str:
    """How the points are run, in words: "in 1 stack and 3 by themselves, 2 at a time: …"."""
    count = len(grouping.stacks)
    parts = [f"in {count} stack{'s' * (count > 1)}"] if count else []
    reasons = Counter(grouping.alone.values())
    if reasons:
        why = "; ".join(f"{many} because {reason}" if len(reasons) > 1 else reason for reason, many in reasons.items())
        those = f"{len(grouping.alone)} by themselves" if count else "by themselves"
        parts.append(f"{those}, {at_a_time} at a time ({why})")
    return " and ".join(parts)
