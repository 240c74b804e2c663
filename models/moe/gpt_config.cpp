// MoeGptConfig: checks, and JSON.
#include "models/moe/gpt.h"

#include "engine/io/json_fields.h"
#include "models/require.h"

namespace plumb::moe {

static constexpr auto fields = [](auto& c, auto&& f) { f("gpt", c.gpt), f("moe", c.moe), f("every", c.every), f("first", c.first); };

std::string MoeGptConfig::to_json() const { return fields_to_json(*this, fields); }
MoeGptConfig MoeGptConfig::from_json(const std::string& text) { return fields_from_json<MoeGptConfig>("moe gpt", text, fields); }

MoeConfig MoeGptConfig::layer() const {
  MoeConfig c = moe;
  c.inner = moe.expert_inner(dense_inner());
  c.bias = gpt.bias;
  c.dropout = gpt.dropout;
  c.token_ids = gpt.vocab;
  return c;
}

void MoeGptConfig::check() const {
  gpt.check();
  require(every >= 1 && every <= gpt.layers,
          "--every must lie between 1 and --layers " + std::to_string(gpt.layers) + ", it is " + std::to_string(every));
  require(first >= -1 && first < gpt.layers,
          "--first must lie between 0 and --layers - 1 = " + std::to_string(gpt.layers - 1) + ", or be -1, it is " + std::to_string(first));
  moe.check();  // before layer() divides by --top-k
  layer().check();
  require(moe.inner > 0 || dense_inner() % moe.top_k == 0, "--top-k " + std::to_string(moe.top_k) + " does not divide the dense width " +
                                                               std::to_string(dense_inner()) + "; give the experts an --inner");
}

}  // namespace plumb::moe
