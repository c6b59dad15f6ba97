"""Universal approximation by construction: steps, bumps, towers, as this repository's networks with weights set."""
