"""What a training tells beside its metrics: statistics by layer, logs for other programs."""
