"""TrainLab: from the perceptron to AlexNet, every idea one switch on one command line."""

__version__ = "0.1.0"
