"""What people look at after a run: plain arrays and tensors in, a matplotlib Figure out.

No module here knows Lightning or Hydra, or touches pyplot and its global list of figures.
"""

from trainlab.figures.confusion import confusion_matrix
from trainlab.figures.curves import learning_curves
from trainlab.figures.filters import first_layer
from trainlab.figures.mistakes import worst_mistakes
from trainlab.figures.points import decision_regions
from trainlab.figures.style import save

__all__ = [
    "confusion_matrix",
    "decision_regions",
    "first_layer",
    "learning_curves",
    "save",
    "worst_mistakes",
]
