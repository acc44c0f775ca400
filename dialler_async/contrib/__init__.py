"""Integrations for FastAPI, aiohttp.web and OpenTelemetry.

The modules `fastapi` and `opentelemetry` need the extras `fastapi` and `otel`.
"""
