"""The compiler: traces an Array API function once, schedules its operations, prints C, CUDA C or NumPy calls."""
