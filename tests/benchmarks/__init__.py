"""What the library costs, beside a bare call and the usual hand-written version: `python -m tests.benchmarks`."""
