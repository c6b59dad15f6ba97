"""The options: their schema, what a YAML may name, and configurations that come back from files."""
