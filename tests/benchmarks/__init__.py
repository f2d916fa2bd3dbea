"""The cost of the library, compared with a bare call and a usual hand-written version: `python -m tests.benchmarks`."""
