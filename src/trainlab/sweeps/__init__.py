"""Running many runs, and comparing them."""
