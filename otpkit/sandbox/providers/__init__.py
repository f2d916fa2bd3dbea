"""The providers that the sandbox stands for: each one's wire format, signatures and receipts.

A provider has a row in `calls.PROVIDERS` and one for each call in `calls.CALLS`, a file or folder here with an
`answer`, its route in `app`, and the words of its pushed receipts in `callbacks`.
"""
