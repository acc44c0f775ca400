"""Bulk calls: the fan-out, and the concurrency that adapts to the measured latency."""
