// The router of a layer of experts.
#pragma once
#include <memory>
#include <optional>

#include "engine/dist/communicator.h"
#include "models/moe/config.h"
#include "models/moe/routing.h"
#include "models/nn/linear.h"

namespace plumb::moe {

/// Chooses experts for tokens, as RouterKind says. The gate is computed in f32 (f64 for f64 tokens) whatever autocast says. Noise, jitter
/// and random experts come from the default generator; the first two in training only, as is the limit of capacity.
///
/// Expert choice compares tokens with later ones. In a language model that leaks a little of the future (whether later tokens want the
/// same experts), and in generation, token by token, each expert takes the only token there is.
class Router : public nn::Module {
 public:
  /// The gate starts as nn::Linear without bias does; with noise both it and the noise's deviation start as 0, so that all experts start
  /// even (Shazeer et al. 2017, appendix A). `layer` tells layers apart whose hashes must differ. Throws ConfigError as MoeConfig::check.
  Router(int64_t width, const MoeConfig& config, int64_t layer = 0);
  Router(Module* parent, std::string name, int64_t width, const MoeConfig& config, int64_t layer = 0) : Router(width, config, layer) {
    join(parent, std::move(name));
  }

  /// x [.., width], for random_sequence one sequence a place of the first dimension; ids (integers, hash only) of x's shape without the
  /// last dimension. Token n of the routing is row n of flatten(x, 0, -2). Throws ShapeError, ValueError for missing ids, IndexError for
  /// ids outside [0, token_ids).
  Routing operator()(const Tensor& x, const Tensor& ids = {}) const;

  int64_t experts() const { return experts_; }

  std::optional<nn::Linear> gate;   ///< weight [E, width]
  std::optional<nn::Linear> noise;  ///< weight [E, width]
  /// May be changed between calls, for example to draw one expert for each sequence instead of each batch, or all of them (an average).
  RouterKind kind;
  int64_t top_k;
  /// Whose tokens in training are of one batch with those here and share the experts' capacity (share_out_experts); in evaluation each has
  /// a batch of its own.
  dist::Communicator* processes = nullptr;
  std::shared_ptr<dist::Collectives> collectives = {};  ///< how rows travel between their devices, held here

 private:
  Routing routed(const Tensor& expert, const Tensor& weight) const;
  Routing by_gate(const Tensor& rows) const;
  Routing by_token(const Tensor& score, const Tensor& weight) const;
  Routing with_noise(const Tensor& logits, const Tensor& rows) const;
  Routing by_expert(const Tensor& probability) const;
  Routing by_hash(const Tensor& rows, const Tensor& ids) const;
  Routing at_random(const Tensor& x) const;
  int64_t capacity(int64_t tokens) const;
  bool together() const { return processes && training(); }

  int64_t width_, experts_;
  bool normalize_;
  double capacity_, jitter_;
  nn::Buffer table_;  // hash: i64 [token_ids, top_k]
};

}  // namespace plumb::moe
