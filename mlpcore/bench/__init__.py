"""Measures training and prediction against peers and a limit, for `mlpcore bench` and the folder benchmarks."""
