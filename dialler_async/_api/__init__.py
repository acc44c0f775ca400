"""The API as data: which request each call sends, and what its response says. Nothing here does I/O."""
