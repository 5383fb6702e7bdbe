"""Prints a schedule as CUDA C: loops become kernels, matrix products become calls of cuBLAS."""
