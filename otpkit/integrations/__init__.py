"""otpkit in web frameworks: one module each, on the public API alone, imported when it is named."""
