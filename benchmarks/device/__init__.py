"""What one command proves and measures on a machine with one NVIDIA GPU: ``benchmarks/device.sh OUT``."""
