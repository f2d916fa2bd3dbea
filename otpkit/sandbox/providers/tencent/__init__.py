"""Tencent Cloud's SMS service and captcha."""
