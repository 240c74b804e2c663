// The methods that `plumb train consistency --method NAME` knows. A new one is an entry in the table of consistency_methods.cpp: one that
// is a recipe of diffusion::ConsistencyTraining needs no more than that recipe, another an objective of its own.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tools/consistency_model.h"

namespace plumb::tools {

/// A method during one run. Its state is in the model alone, so that a run that goes on needs nothing else.
class ConsistencyObjective {
 public:
  virtual ~ConsistencyObjective() = default;
  /// The loss of step k on clean images [B, C, H, W] in [−1, 1], whose classes the networks have been shown. Draws from the default
  /// generator.
  virtual Tensor loss(int64_t step, const Tensor& clean, const diffusion::Denoiser& teacher) = 0;
  /// After the optimiser's step k: the average follows.
  virtual void update(int64_t step) = 0;
};

struct ConsistencyMethod {
  std::string_view name, about;
  bool needs_teacher = false;                          ///< a run of `train unet`
  bool second_time = false;                            ///< its network is told where a jump ends
  bool average = false;                                ///< targets come from averaged weights
  void (*defaults)(ConsistencyRun& run) = nullptr;     ///< of what was not given
  void (*check)(const ConsistencyRun& run) = nullptr;  ///< throws ValueError for settings that it cannot be trained with
  std::unique_ptr<ConsistencyObjective> (*objective)(const ConsistencyRun& run, ConsistencyModel& model) = nullptr;
  /// From noise x at levels[0] along the levels to images in [−1, 1], a call of the network a level.
  Tensor (*sample)(const ConsistencyRun& run, const FewStepNetwork& network, const Tensor& x, const std::vector<double>& levels,
                   double gamma, Generator& generator) = nullptr;
};

std::span<const ConsistencyMethod> consistency_methods();
/// By its name. Throws ConfigError listing them for another.
const ConsistencyMethod& consistency_method(const std::string& name);
/// Their names, with commas.
std::string consistency_method_names();

}  // namespace plumb::tools
