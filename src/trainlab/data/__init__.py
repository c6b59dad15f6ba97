"""Image sets and point sets: where they come from, how they are cut, and the batches that training is given."""
