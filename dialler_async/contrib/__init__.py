"""Integrations for FastAPI, aiohttp.web and OpenTelemetry.

The modules `fastapi` and `opentelemetry` need the extras `fastapi` and `otel`. The guide, with recipes for other
frameworks, task queues and synchronous code, is `dialler_async/contrib/README.md`.

.. include:: README.md
"""
