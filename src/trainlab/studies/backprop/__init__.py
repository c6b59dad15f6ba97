"""Backpropagation through any expression, written as text, and through a small network: a graph of scalar gates."""
