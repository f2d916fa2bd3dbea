"""The providers that the sandbox plays: their wire formats, signatures and receipts.

To add a provider: a row in `calls.PROVIDERS`, a row in `calls.CALLS` for each call, a file or folder here with an
`answer`, a route in `app`, and the format of its pushed receipts in `callbacks`.
"""
