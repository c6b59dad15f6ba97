"""The loss around a trained network: on a plane, along its training path, and by the curvature in its middle.

Lecture: "Debido a la estructura de las redes, función objetivo es no convexa".
"""
