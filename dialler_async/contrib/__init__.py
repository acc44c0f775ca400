"""At home where it is used: FastAPI, aiohttp.web, OpenTelemetry. Each module needs what it is named after."""
