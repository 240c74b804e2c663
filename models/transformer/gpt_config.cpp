// GptConfig to JSON and back.
#include <nlohmann/json.hpp>

#include "models/transformer/gpt.h"

namespace plumb::transformer {

std::string GptConfig::to_json() const {
  nlohmann::ordered_json json{{"vocab", vocab}, {"layers", layers}, {"heads", heads}, {"width", width}, {"context", context}, {"dropout", dropout}, {"bias", bias}, {"tied", tied}};
  return json.dump();
}

GptConfig GptConfig::from_json(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) throw ConfigError("gpt: the configuration is not a JSON object");
  GptConfig d, c;
  try {
    c = {json.value("vocab", d.vocab),     json.value("layers", d.layers),   json.value("heads", d.heads), json.value("width", d.width),
         json.value("context", d.context), json.value("dropout", d.dropout), json.value("bias", d.bias),   json.value("tied", d.tied)};
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string("gpt: the configuration has a value of the wrong kind: ") + error.what());
  }
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
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + std::to_string(dropout));
}

}  // namespace plumb::transformer
