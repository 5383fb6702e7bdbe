"""Training and prediction timed beside peers and their limit, for `mlpcore bench` and the folder benchmarks."""
