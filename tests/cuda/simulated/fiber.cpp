// Fibers by switching stacks. On x86-64 a switch saves the registers that a call must keep, and no more (ucontext asks the system about
// signals each time, which costs a hundred times as much); elsewhere it is ucontext.
#include "tests/cuda/simulated/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__x86_64__)

extern "C" void plumb_switch_stack(void** save, void* load);
extern "C" void plumb_enter_fiber();

asm(R"(
  .text
  .globl plumb_switch_stack
  .type plumb_switch_stack, @function
plumb_switch_stack:
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
  .size plumb_switch_stack, .-plumb_switch_stack

  .globl plumb_enter_fiber
  .type plumb_enter_fiber, @function
plumb_enter_fiber:
  movq %rbx, %rdi
  xorl %ebp, %ebp
  call *%r12
  ud2
  .size plumb_enter_fiber, .-plumb_enter_fiber
)");

#else
#include <ucontext.h>
#endif

namespace plumb::simulated {

struct Fiber::Context {
  void* stack = nullptr;
  size_t bytes = 0;
#if defined(__x86_64__)
  void* inside = nullptr;   // stack pointers at the last switch
  void* outside = nullptr;
#else
  ucontext_t inside, outside;
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
#endif
};

Fiber::Fiber(size_t stack_bytes) : context_(std::make_unique<Context>()) {
  context_->bytes = stack_bytes;
  context_->stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (context_->stack == MAP_FAILED) throw std::bad_alloc();
}

Fiber::~Fiber() { munmap(context_->stack, context_->bytes); }

#if defined(__x86_64__)

void Fiber::start(void (*function)(void*), void* argument) {
  auto** top = reinterpret_cast<void**>(static_cast<std::byte*>(context_->stack) + context_->bytes - 64);
  // As plumb_switch_stack leaves it: r15, r14, r13, r12, rbx, rbp, and where to return to.
  void** saved = top - 7;
  saved[3] = reinterpret_cast<void*>(function);
  saved[4] = argument;
  saved[6] = reinterpret_cast<void*>(&plumb_enter_fiber);
  context_->inside = saved;
}
void Fiber::resume() { plumb_switch_stack(&context_->outside, context_->inside); }
void Fiber::leave() { plumb_switch_stack(&context_->inside, context_->outside); }

#else

static void enter(unsigned high, unsigned low) {
  auto** call = reinterpret_cast<void**>(uint64_t{high} << 32 | low);
  reinterpret_cast<void (*)(void*)>(call[0])(call[1]);
}

void Fiber::start(void (*function)(void*), void* argument) {
  getcontext(&context_->inside);
  context_->inside.uc_stack = {context_->stack, 0, context_->bytes};
  auto** call = static_cast<void**>(context_->stack);  // the far end of the stack is as good a place as any
  call[0] = reinterpret_cast<void*>(function);
  call[1] = argument;
  auto at = reinterpret_cast<uint64_t>(call);
  makecontext(&context_->inside, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(at >> 32), static_cast<unsigned>(at));
}
void Fiber::resume() { swapcontext(&context_->outside, &context_->inside); }
void Fiber::leave() { swapcontext(&context_->inside, &context_->outside); }

#endif

}  // namespace plumb::simulated
