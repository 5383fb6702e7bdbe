// What the files of the CUDA runtime interface share.
#pragma once
#include <cuda_runtime_api.h>

#include "streams.h"

#undef API
#define API extern "C" __attribute__((visibility("default"))) cudaError_t
static inline cudaError_t error(int number) { return (cudaError_t)number; }
