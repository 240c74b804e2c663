// The feed-forward network of a transformer block as a mixture of experts.
#pragma once
#include <optional>

#include "models/moe/experts.h"
#include "models/moe/router.h"
#include "models/nn/feed_forward.h"
#include "models/parallel/sharded_parameters.h"

namespace plumb::moe {

/// y = Σ_{e chosen for x} w_e(x) expert_e(x) (+ shared(x)): the experts that `router` chooses, each token through its own few.
class MoeFeedForward : public nn::Module, public nn::BottleneckPlace, public parallel::ShardedModule {
 public:
  /// `layer` tells layers apart whose hashes must differ. Throws ConfigError as MoeConfig::check.
  MoeFeedForward(int64_t width, const MoeConfig& config, int64_t layer = 0);
  MoeFeedForward(Module* parent, std::string name, int64_t width, const MoeConfig& config, int64_t layer = 0)
      : MoeFeedForward(width, config, layer) {
    join(parent, std::move(name));
  }

  /// x [.., width], ids as Router → [.., width].
  Tensor operator()(const Tensor& x, const Tensor& ids = {}) const { return forward(x, router(x, ids)); }
  /// The experts' part for a routing from elsewhere: router(x) looked at, or made by hand (route_tokens).
  Tensor forward(const Tensor& x, const Routing& routing) const;
  int64_t output_width() const override { return experts.down.weight.size(1); }
  /// The processes that the experts were shared out over (share_out_experts, expert_parallel.h); null: all are here.
  dist::Communicator* processes() const override { return router.processes; }
  std::vector<std::pair<Tensor, int64_t>> parts() const override;
  void work_with(dist::Communicator& processes);

  Router router;
  Experts experts;
  std::optional<nn::FeedForward> shared;

 private:
  nn::Dropout dropout_;
};

}  // namespace plumb::moe
