"""A W&B project's workspace and reports as code."""
