"""Many small networks of one shape trained as one: hydra/launcher=stacked."""
