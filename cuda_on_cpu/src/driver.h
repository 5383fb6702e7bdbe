// The functions of modules.
#pragma once
#include <string>

#include "kernels.h"

namespace cuda_on_cpu {
struct Function {
  std::string name;
  const Entry *entry;
  int shared_limit;  // bytes of shared memory, static and dynamic together
};
}  // namespace cuda_on_cpu
