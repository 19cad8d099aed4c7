"""The parts of `benchmarks/idmap.py`."""
