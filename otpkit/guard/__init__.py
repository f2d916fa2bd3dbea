"""Abuse protection: what messages may cost, and who may have them."""
