"""An asyncio client, with connection pooling, for the REST API of a call-centre dialler."""

__version__ = "0.1.0"
