"""TrainLab: from the perceptron to AlexNet, every idea one switch on one command line."""

import os

# OpenMP's threads wait for each other spinning. With another program on the same cores that can make a step thirty
# times slower (measured on 2 cores: the perceptron 1,800 images/s, 54,000 with this); a short spin costs nothing.
# It has to be said before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
