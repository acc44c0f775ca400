"""Integrations for FastAPI, aiohttp.web and OpenTelemetry. Each module needs the package it is named after."""
