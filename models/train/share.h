// Training shared out among the processes of dist::world(): which parts of a batch are this one's, what all must agree on, and what is
// left to do when one of them is lost.
#pragma once
#include <functional>
#include <memory>

#include "engine/core/generator.h"
#include "engine/dist/collectives.h"
#include "models/nn/module.h"
#include "models/parallel/sharded_parameters.h"
#include "models/train/run_directory.h"

namespace plumb::train {

/// Whether this process writes the run's files. On one file system the first writes and the others read: for them RunDirectory::create
/// waits until it is made, and what saves does nothing.
bool writes_files();
/// RunDirectory::save on whichever process calls it, unless the checkpoint of that step is there: the first may be lost.
void save_in_place_of_first(const RunDirectory& run, const Checkpoint& checkpoint);

/// While alive, draws from the default generator are those of part `index` of step `step`, whichever process computes it; then it goes
/// on as before. Where one process trains alone nothing is changed.
class PartDraws {
 public:
  PartDraws(int64_t step, int64_t index);
  ~PartDraws();
  PartDraws(const PartDraws&) = delete;
  PartDraws& operator=(const PartDraws&) = delete;

 private:
  Generator kept_;
};

/// What all processes know after a step: the mean of their losses, and the signal that one of them was sent (0: none).
struct Agreement {
  double loss = 0;
  int signal = 0;
};
Agreement agree(double own_loss, int own_signal);

/// All processes' parameters and buffers become the first one's (buffers alone: batch norm's running statistics, which each keeps of its
/// own parts). Parameters that are `sharded` stay.
void broadcast_state(nn::Module& model, bool buffers_alone, const parallel::ShardedParameters* sharded = nullptr);

/// While alive, waiting for other processes ends with dist::ProcessLost half a second after this one was told to stop: launchers tell all
/// others when a process dies, and end them soon after.
class LossWatch {
 public:
  LossWatch();
  ~LossWatch();
  LossWatch(const LossWatch&) = delete;
  LossWatch& operator=(const LossWatch&) = delete;
};

/// Runs `work` in a child process that signals to this one and its group do not reach, and returns its exit code: launchers give survivors
/// a second, which is too short for a large file. `work` may write files and speak, but run no kernels: the child has one thread.
int run_out_of_reach(const std::function<int()>& work);

}  // namespace plumb::train
