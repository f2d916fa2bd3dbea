"""Web framework integrations. Each is a separate module on the public API, and is imported only on request."""
