"""Alibaba Cloud's SMS and voice services, Dysmsapi and Dyvmsapi, and its captcha."""
