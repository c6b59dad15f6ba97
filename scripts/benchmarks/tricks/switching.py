"""How a trick is switched off. It imports nothing that a command would not import first."""

from __future__ import annotations

from collections.abc import Callable


def swap(owner: object, name: str, value: object) -> None:
    """Set an attribute that is there already; a switch whose trick was renamed fails."""
    getattr(owner, name)
    setattr(owner, name, value)


def by_name(*switches: Callable[[], None]) -> dict[str, Callable[[], None]]:
    """The switches by the names of their functions, which are those in the catalogue."""
    return {switch.__name__: switch for switch in switches}
