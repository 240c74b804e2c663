// Signal handlers of a training run.
#include "models/train/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace plumb::train {
namespace {

volatile sig_atomic_t received = 0;
struct sigaction before_interrupt, before_terminate;

void note_signal(int signal) {
  if (received) _exit(128 + signal);
  received = signal;
}

}  // namespace

InterruptScope::InterruptScope() {
  received = 0;
  struct sigaction action = {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before_interrupt);
  sigaction(SIGTERM, &action, &before_terminate);
}

InterruptScope::~InterruptScope() {
  sigaction(SIGINT, &before_interrupt, nullptr);
  sigaction(SIGTERM, &before_terminate, nullptr);
}

int InterruptScope::signal() { return received; }

}  // namespace plumb::train
