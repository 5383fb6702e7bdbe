// Switching between fibers: a few instructions on x86-64, ucontext elsewhere (or with -DCUDA_ON_CPU_UCONTEXT).
#pragma once
#include <cstddef>
#include <ucontext.h>

#include "kernels.h"

namespace cuda_on_cpu {
constexpr size_t STACK = 256 << 10;
static char *stacks;  // of all fibers

#if defined(__x86_64__) && !defined(CUDA_ON_CPU_UCONTEXT)
extern "C" void cuda_on_cpu_switch(void **from, void *to);  // keeps the registers that a call keeps
asm(R"(
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void *scheduler, *contexts[MOST_THREADS];
static void prepare(unsigned t, void (*call)()) {
  void **at = (void **)(stacks + (t + 1) * STACK);
  *--at = nullptr;
  *--at = (void *)call;
  contexts[t] = at - 6;  // as many registers
}
static void to_fiber(unsigned t) { cuda_on_cpu_switch(&scheduler, contexts[t]); }
static void to_scheduler(unsigned t) { cuda_on_cpu_switch(&contexts[t], scheduler); }
#else

static ucontext_t scheduler, contexts[MOST_THREADS];
static void prepare(unsigned t, void (*call)()) {
  getcontext(&contexts[t]);
  contexts[t].uc_stack.ss_sp = stacks + t * STACK;
  contexts[t].uc_stack.ss_size = STACK;
  makecontext(&contexts[t], call, 0);
}
static void to_fiber(unsigned t) { swapcontext(&scheduler, &contexts[t]); }
static void to_scheduler(unsigned t) { swapcontext(&contexts[t], &scheduler); }
#endif
}  // namespace cuda_on_cpu
