"""The picture of a graph of gates: where everything goes, and how it is drawn."""
