"""Tencent Cloud's SMS service."""
