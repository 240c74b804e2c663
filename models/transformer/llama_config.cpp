// LlamaConfig to JSON and back.
#include "models/transformer/llama.h"

#include "engine/io/json_fields.h"
#include "models/require.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("vocab", c.vocab), f("layers", c.layers), f("heads", c.heads), f("key_value_heads", c.key_value_heads), f("width", c.width),
      f("head_width", c.head_width);
  f("inner", c.inner), f("context", c.context), f("window", c.window), f("rope_base", c.rope_base), f("rope_factor", c.rope_factor),
      f("rope_low", c.rope_low), f("rope_high", c.rope_high);
  f("rope_original_context", c.rope_original_context), f("norm_eps", c.norm_eps), f("dropout", c.dropout);
  f("attention_bias", c.attention_bias), f("out_bias", c.out_bias), f("mlp_bias", c.mlp_bias), f("tied", c.tied),
      f("activation", c.activation);
};

std::string LlamaConfig::to_json() const { return fields_to_json(*this, fields); }
LlamaConfig LlamaConfig::from_json(const std::string& text) { return fields_from_json<LlamaConfig>("llama", text, fields); }

void LlamaConfig::check() const {
  require_positive("llama",
                   {{"vocab", vocab}, {"layers", layers}, {"heads", heads}, {"width", width}, {"inner", inner}, {"context", context}});
  for (auto [name, value] : {std::pair{"key_value_heads", key_value_heads}, {"head_width", head_width}, {"window", window}})
    require(value >= 0, std::string("llama: ") + name + " must not be negative, it is " + std::to_string(value));
  if (head_width == 0) require_multiple("llama", "width", width, "heads", heads);
  if (key_value_heads > 0) require_multiple("llama", "heads", heads, "key_value_heads", key_value_heads);
  int64_t one_head = head_width > 0 ? head_width : width / heads;
  require(one_head % 2 == 0, "llama: rotary positions need heads of even width, it is " + std::to_string(one_head));
  require(rope_base > 0, "llama: rope_base must be positive, it is " + decimal(rope_base));
  require(rope_factor > 0, "llama: rope_factor must be positive, it is " + decimal(rope_factor));
  require(rope_high > rope_low,
          "llama: rope_high must be above rope_low, they are " + decimal(rope_high) + " and " + decimal(rope_low));
  require(rope_original_context >= 0, "llama: rope_original_context must not be negative, it is " + std::to_string(rope_original_context));
  require(norm_eps > 0, "llama: norm_eps must be positive, it is " + decimal(norm_eps));
  require_rate("llama", "dropout", dropout);
  nn::activation_named(activation);
}

}  // namespace plumb::transformer
