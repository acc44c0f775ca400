"""The only package with I/O: it sends requests, retries them, and reads the responses."""
