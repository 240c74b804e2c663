// Signal handlers of a training run.
#include "models/train/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <iterator>

namespace plumb::train {
namespace {

constexpr int kNoted[] = {SIGINT, SIGTERM, SIGHUP}, kIgnored[] = {SIGPIPE, SIGXFSZ};

volatile sig_atomic_t received = 0;
struct sigaction noted_before[std::size(kNoted)], ignored_before[std::size(kIgnored)];

// A terminal that is closed sends SIGHUP twice: once by its shell, once by the system. The run has still to save.
void note_signal(int signal) {
  if (received && signal == SIGHUP) return;
  if (received) _exit(128 + signal);
  received = signal;
}

}  // namespace

InterruptScope::InterruptScope() {
  received = 0;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = note_signal;
  for (size_t i = 0; i < std::size(kNoted); ++i) sigaction(kNoted[i], &action, &noted_before[i]);
  constexpr size_t kHangUp = 2;
  if (noted_before[kHangUp].sa_handler == SIG_IGN) sigaction(SIGHUP, &noted_before[kHangUp], nullptr);
  action.sa_handler = SIG_IGN;
  for (size_t i = 0; i < std::size(kIgnored); ++i) sigaction(kIgnored[i], &action, &ignored_before[i]);
}

InterruptScope::~InterruptScope() {
  for (size_t i = 0; i < std::size(kNoted); ++i) sigaction(kNoted[i], &noted_before[i], nullptr);
  for (size_t i = 0; i < std::size(kIgnored); ++i) sigaction(kIgnored[i], &ignored_before[i], nullptr);
}

int InterruptScope::signal() { return received; }

}  // namespace plumb::train
