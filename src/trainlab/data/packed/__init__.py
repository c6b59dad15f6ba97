"""Image sets of any size, packed into few files and memory-mapped: their format, its writer and its reader."""
