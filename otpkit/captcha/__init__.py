"""The captchas: tests that a person is there, one provider a file."""
