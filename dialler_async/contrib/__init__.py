"""Integrations for FastAPI, aiohttp.web and OpenTelemetry. Each module needs the package in its name."""
