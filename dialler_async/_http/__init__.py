"""All network I/O: send requests, retry them, and read the responses."""
