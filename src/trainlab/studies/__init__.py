"""The lecture's demonstrations: one file each, plain functions that take options and return a `Finding`.

From a notebook as from ``python scripts/study.py NAME``, which only writes down what they return.
"""
