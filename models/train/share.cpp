// Training by several processes.
#include "models/train/share.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "engine/autograd/grad_mode.h"
#include "engine/data/source.h"
#include "engine/dist/world.h"
#include "models/train/interrupt.h"
#include "ops/shape.h"

namespace plumb::train {

bool writes_files() { return dist::world().rank() == 0; }

PartDraws::PartDraws(int64_t step, int64_t index) : kept_(default_generator()) {
  if (dist::world().size() == 1) return;
  uint64_t seed = data::mix(data::mix(kept_.seed(), static_cast<uint64_t>(step)), static_cast<uint64_t>(index));
  default_generator() = Generator(seed);
}

PartDraws::~PartDraws() {
  if (dist::world().size() > 1) default_generator() = kept_;
}

Agreement agree(double own_loss, int own_signal) {
  dist::Communicator& world = dist::world();
  if (world.size() == 1) return {own_loss, own_signal};
  Tensor said = from_vector(std::vector<double>{own_loss, static_cast<double>(own_signal == SIGINT), static_cast<double>(own_signal != 0)});
  world.start_all_reduce(said)->wait();
  std::vector<double> sums = to_vector(said);
  return {sums[0] / world.size(), sums[1] > 0 ? SIGINT : sums[2] > 0 ? SIGTERM : 0};
}

void broadcast_state(nn::Module& model, bool buffers_alone, const parallel::ShardedParameters* sharded) {
  dist::Communicator& world = dist::world();
  if (world.size() == 1) return;
  NoGrad off;
  std::vector<Tensor> tensors = model.buffers();
  if (!buffers_alone)
    for (const Tensor& p : sharded ? sharded->same(model.parameters()) : model.parameters()) tensors.push_back(p);
  for (const Tensor& t : tensors) {
    Tensor here = contiguous_data(to(t.detach(), cpu)), target = t.detach();
    world.broadcast(here);
    if (here.raw_data() != t.raw_data()) copy_data(here, target);
  }
}

LossWatch::LossWatch() {
  using Clock = std::chrono::steady_clock;
  dist::world().give_up_when([told = Clock::time_point()]() mutable {
    if (!InterruptScope::signal()) return false;
    if (told == Clock::time_point()) told = Clock::now();
    return Clock::now() - told > std::chrono::milliseconds(500);
  });
}

LossWatch::~LossWatch() { dist::world().give_up_when({}); }

int run_out_of_reach(const std::function<int()>& work) {
  pid_t child = fork();
  if (child < 0) return work();
  if (child == 0) {
    setsid();
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
    int code = 1;
    try {
      code = work();
    } catch (...) {}
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace plumb::train
