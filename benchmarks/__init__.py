"""Benchmarks: measured in one run beside their limits and peers; tests never assert on time."""
