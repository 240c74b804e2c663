// EncoderConfig to JSON and back.
#include "models/transformer/encoder.h"

#include "engine/io/json_fields.h"
#include "models/require.h"

namespace plumb::transformer {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("vocab", c.vocab), f("layers", c.layers), f("heads", c.heads), f("width", c.width), f("inner", c.inner), f("context", c.context),
      f("token_types", c.token_types);
  f("dropout", c.dropout), f("attention_dropout", c.attention_dropout), f("norm_eps", c.norm_eps), f("padding", c.padding),
      f("activation", c.activation), f("pooler", c.pooler);
};

std::string EncoderConfig::to_json() const { return fields_to_json(*this, fields); }
EncoderConfig EncoderConfig::from_json(const std::string& text) { return fields_from_json<EncoderConfig>("encoder", text, fields); }

void EncoderConfig::check() const {
  require_positive("encoder", {{"vocab", vocab},
                               {"--layers", layers},
                               {"--heads", heads},
                               {"--width", width},
                               {"--inner", inner},
                               {"--context", context},
                               {"token_types", token_types}});
  require_multiple("encoder", "--width", width, "--heads", heads);
  require_rate("encoder", "--dropout", dropout);
  require_rate("encoder", "--attention-dropout", attention_dropout);
  require(norm_eps > 0, "encoder: norm_eps must be positive, it is " + decimal(norm_eps));
  require(padding >= -1 && padding < vocab, "encoder: padding must be a token or -1, it is " + std::to_string(padding));
  nn::activation_named(activation);
}

}  // namespace plumb::transformer
