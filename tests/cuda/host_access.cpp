// The simulated device's memory is closed to the host: touching it raises SIGSEGV, which is caught here.
#include "tests/cuda/host_access.h"

#include <csetjmp>
#include <csignal>

#include "tests/cuda/simulated/device.h"

namespace plumb::testing {
namespace {

thread_local sigjmp_buf* way_out = nullptr;

void at_fault(int signal, siginfo_t* info, void*) {
  if (way_out && simulated::is_device_memory(info->si_addr)) siglongjmp(*way_out, 1);
  std::signal(signal, SIG_DFL);  // another fault: happens again, and ends the program
}

}  // namespace

bool stays_off_device_memory(void (*f)(void* context), void* context) {
  struct sigaction ours {}, before {};
  ours.sa_sigaction = at_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &ours, &before);
  sigjmp_buf here;
  bool stayed = sigsetjmp(here, 1) == 0;
  if (stayed) {
    way_out = &here;
    f(context);
  }
  way_out = nullptr;
  sigaction(SIGSEGV, &before, nullptr);
  return stayed;
}

}  // namespace plumb::testing
