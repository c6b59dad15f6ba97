"""What a run is assembled from: hardware, parts, trainer, callbacks and processes."""
