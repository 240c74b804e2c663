// Loading what a GPT run is made of.
#include "tools/language_model.h"

#include <nlohmann/json.hpp>

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "ops/loss.h"
#include "ops/shape.h"

namespace plumb::tools {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GptRun, data, data_sha256, tokenizer, bpe_vocab)

std::string GptRun::to_json() const {
  nlohmann::ordered_json json{{"kind", "gpt"}};
  json["model"] = nlohmann::ordered_json::parse(model.to_json());
  json.update(nlohmann::ordered_json(nlohmann::json(*this)));
  json.update(nlohmann::ordered_json(nlohmann::json(training)));
  return json.dump();
}

GptRun GptRun::from_json(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("kind", "") != "gpt") throw ConfigError("the run is not one of train gpt");
  try {
    GptRun run = json.get<GptRun>();
    run.training = json.get<TrainingSettings>();
    run.model = transformer::GptConfig::from_json(json.at("model").dump());
    return run;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string("config.json is incomplete: ") + error.what());
  }
}

void GptRun::check() const {
  model.check();
  require(tokenizer == "char" || tokenizer == "byte" || tokenizer == "bpe", "--tokenizer " + tokenizer + " is unknown; choose char, byte or bpe");
  training.check();
}

std::string read_texts(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += read_text(file);
  return text;
}

data::TokenStream encode_text(const Tokenizer& tokenizer, const std::string& text, const std::string& name) { return data::TokenStream(tokenizer.encode(text), name); }

GptRun load_settings(const train::RunDirectory& run) { return GptRun::from_json(run.config()); }

transformer::Gpt load_gpt(const train::RunDirectory& run, const GptRun& settings) {
  transformer::Gpt model(settings.model);
  settings.training.prepare(model);
  model.load_state(run.load_model());
  model.eval();
  return model;
}

double mean_loss(const transformer::Gpt& model, const data::ConsecutiveWindows& windows) {
  NoGrad off;
  double total = 0;
  for (const auto& batch : windows) {
    Tensor logits = model(batch.tokens);
    total += cross_entropy(flatten(logits, 0, 1), flatten(batch.target, 0, 1), {.reduction = Reduction::sum}).item();
  }
  return total / static_cast<double>(windows.targets());
}

}  // namespace plumb::tools
