"""The calls as flows, and what they decide by; nothing here does I/O."""
