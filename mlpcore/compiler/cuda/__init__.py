"""A schedule as CUDA C: its loops as kernels, its products as calls of the device's library."""
