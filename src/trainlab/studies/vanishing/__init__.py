"""The gradient's way back through many layers: measured on networks, and as its two oracles say."""
