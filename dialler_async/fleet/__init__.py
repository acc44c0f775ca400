"""Audits of many accounts on many servers, in this process or over workers (extra `fleet`)."""
