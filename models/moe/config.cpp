// The configuration of a layer of experts: its checks, and JSON.
#include "models/moe/config.h"

#include <array>
#include <cmath>

#include "engine/io/json_fields.h"
#include "models/nn/activation.h"
#include "models/require.h"

namespace plumb::moe {
static constexpr std::array kRouters{"softmax", "sigmoid",      "noisy",           "switch",      "expert_choice",
                                     "hash",    "random_batch", "random_sequence", "random_token"};

RouterKind router_named(const std::string& name) {
  std::string known;
  for (size_t i = 0; i < kRouters.size(); ++i) {
    if (name == kRouters[i]) return static_cast<RouterKind>(i);
    known += (i == 0 ? "" : i + 1 == kRouters.size() ? " or " : ", ") + std::string(kRouters[i]);
  }
  throw ConfigError("--router " + name + " is unknown; choose " + known);
}

static constexpr auto fields = [](auto& c, auto&& f) {
  f("experts", c.experts), f("top_k", c.top_k), f("router", c.router), f("normalize", c.normalize), f("capacity", c.capacity),
      f("jitter", c.jitter);
  f("token_ids", c.token_ids), f("inner", c.inner), f("shared_inner", c.shared_inner), f("activation", c.activation), f("gated", c.gated);
  f("bias", c.bias), f("dropout", c.dropout);
};

std::string MoeConfig::to_json() const { return fields_to_json(*this, fields); }
MoeConfig MoeConfig::from_json(const std::string& text) { return fields_from_json<MoeConfig>("moe", text, fields); }

void MoeConfig::check() const {
  RouterKind kind = router_named(router);
  require(experts >= 1, "--experts must be at least 1, it is " + std::to_string(experts));
  require(top_k >= 1 && top_k <= experts,
          "--top-k must lie between 1 and --experts " + std::to_string(experts) + ", it is " + std::to_string(top_k));
  require(kind != RouterKind::switched || top_k == 1, "--router switch takes one expert a token: --top-k 1, not " + std::to_string(top_k));
  require(token_ids >= 0, "moe: token_ids must not be negative, it is " + std::to_string(token_ids));
  require(capacity >= 0 && std::isfinite(capacity), "--capacity must be finite and not negative, it is " + decimal(capacity));
  require(jitter >= 0 && jitter < 1, "--jitter must lie in [0, 1), it is " + decimal(jitter));
  require(inner >= 0, "--inner must not be negative, it is " + std::to_string(inner));
  require(shared_inner >= 0, "--shared must not be negative, it is " + std::to_string(shared_inner));
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + decimal(dropout));
  nn::activation_named(activation);
}

}  // namespace plumb::moe
