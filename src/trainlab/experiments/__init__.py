"""What the report of an experiment has beside its table."""
