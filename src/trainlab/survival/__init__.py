"""What outlasts a run's end, however it ends: checkpoints, resuming, signals, files that are whole or not there."""
