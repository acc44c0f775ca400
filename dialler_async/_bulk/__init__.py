"""Many calls at once: the fan-out, and the concurrency that adapts to the measured latency."""
