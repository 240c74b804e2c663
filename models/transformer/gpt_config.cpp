// GptConfig to JSON and back.
#include "models/transformer/gpt.h"

#include "engine/io/json_fields.h"
#include "models/require.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("vocab", c.vocab), f("layers", c.layers), f("heads", c.heads), f("width", c.width), f("context", c.context), f("dropout", c.dropout),
      f("bias", c.bias), f("tied", c.tied);
  f("inner", c.inner), f("activation", c.activation), f("norm_eps", c.norm_eps);
};

std::string GptConfig::to_json() const { return fields_to_json(*this, fields); }
GptConfig GptConfig::from_json(const std::string& text) { return fields_from_json<GptConfig>("gpt", text, fields); }

void GptConfig::check() const {
  for (auto [name, value] : {std::pair{"vocab", vocab}, {"layers", layers}, {"heads", heads}, {"width", width}, {"context", context}})
    require(value >= 1, std::string("--") + name + " must be at least 1, it is " + std::to_string(value));
  require(width % heads == 0, "--width " + std::to_string(width) + " is not a multiple of --heads " + std::to_string(heads));
  require(inner >= 0, "--inner must not be negative, it is " + std::to_string(inner));
  require(norm_eps > 0, "gpt: norm_eps must be positive, it is " + decimal(norm_eps));
  nn::activation_named(activation);
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + decimal(dropout));
}

}  // namespace plumb::transformer
