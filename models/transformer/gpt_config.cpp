// GptConfig to JSON and back.
#include "models/transformer/gpt.h"

#include "engine/io/json_object.h"

namespace plumb::transformer {

std::string GptConfig::to_json() const {
  JsonObject json;
  json.set("vocab", vocab);
  json.set("layers", layers);
  json.set("heads", heads);
  json.set("width", width);
  json.set("context", context);
  json.set("dropout", dropout);
  json.set("bias", bias);
  json.set("tied", tied);
  json.set("inner", inner);
  json.set("activation", activation);
  json.set("norm_eps", norm_eps);
  return json.text();
}

GptConfig GptConfig::from_json(const std::string& text) {
  auto json = JsonObject::parse(text, "gpt");
  GptConfig c;
  json.read("vocab", c.vocab);
  json.read("layers", c.layers);
  json.read("heads", c.heads);
  json.read("width", c.width);
  json.read("context", c.context);
  json.read("dropout", c.dropout);
  json.read("bias", c.bias);
  json.read("tied", c.tied);
  json.read("inner", c.inner);
  json.read("activation", c.activation);
  json.read("norm_eps", c.norm_eps);
  c.check();
  return c;
}

static void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError(problem);
}

void GptConfig::check() const {
  for (auto [name, value] : {std::pair{"vocab", vocab}, {"layers", layers}, {"heads", heads}, {"width", width}, {"context", context}})
    require(value >= 1, std::string("--") + name + " must be at least 1, it is " + std::to_string(value));
  require(width % heads == 0, "--width " + std::to_string(width) + " is not a multiple of --heads " + std::to_string(heads));
  require(inner >= 0, "gpt: inner must not be negative, it is " + std::to_string(inner));
  require(norm_eps > 0, "gpt: norm_eps must be positive, it is " + std::to_string(norm_eps));
  nn::activation_named(activation);
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + std::to_string(dropout));
}

}  // namespace plumb::transformer
