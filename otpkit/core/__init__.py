"""The public calls as flows, and the rules that they apply. Nothing in this package does I/O."""
