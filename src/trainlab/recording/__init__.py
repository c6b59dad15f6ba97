"""What a run leaves: metrics.csv, results.json, the terminal's lines, its W&B record and its directory."""
