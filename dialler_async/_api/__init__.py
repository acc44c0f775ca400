"""The API as data: the request of each call, and the decoder of its response. No module here does I/O."""
