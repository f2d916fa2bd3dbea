"""Transports for gateways: HTTP requests that report whether they were written, and Apprise."""
