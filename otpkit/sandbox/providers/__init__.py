"""The providers that the sandbox stands for: each one's wire format, signatures and receipts."""
