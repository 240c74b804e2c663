// Loading what a GPT run is made of.
#include "tools/language_model.h"

#include <nlohmann/json.hpp>

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "ops/loss.h"
#include "ops/shape.h"

namespace plumb::tools {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GptRun, data, data_sha256, tokenizer, bpe_vocab, batch, steps, warmup, eval_every, checkpoint_every, lr, min_lr, weight_decay, beta1, beta2, clip, seed, device, dtype)

std::string GptRun::to_json() const {
  nlohmann::ordered_json json{{"kind", "gpt"}};
  json["model"] = nlohmann::ordered_json::parse(model.to_json());
  nlohmann::ordered_json rest = nlohmann::json(*this);
  json.update(rest);
  return json.dump();
}

GptRun GptRun::from_json(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("kind", "") != "gpt") throw ConfigError("the run is not one of train gpt");
  try {
    GptRun run = json.get<GptRun>();
    run.model = transformer::GptConfig::from_json(json.at("model").dump());
    return run;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(std::string("config.json is incomplete: ") + error.what());
  }
}

static void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError(problem);
}

void GptRun::check() const {
  model.check();
  require(tokenizer == "char" || tokenizer == "byte" || tokenizer == "bpe", "--tokenizer " + tokenizer + " is unknown; choose char, byte or bpe");
  require(dtype == "f32" || dtype == "bf16" || dtype == "f64", "--dtype " + dtype + " is unknown; choose f32, bf16 or f64");
  require(batch >= 1, "--batch must be at least 1, it is " + std::to_string(batch));
  require(steps >= 1, "--steps must be at least 1, it is " + std::to_string(steps));
  require(eval_every >= 0, "--eval-every must not be negative");
  require(checkpoint_every >= 0, "--checkpoint-every must not be negative");
  require(warmup >= 0, "--warmup must not be negative");
  require(lr > 0, "--lr must be positive");
  require(min_lr >= 0 && min_lr <= lr, "--min-lr must lie between 0 and --lr");
  require(weight_decay >= 0, "--weight-decay must not be negative");
  require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "--beta1 and --beta2 must lie in [0, 1)");
  require(clip >= 0, "--clip must not be negative");
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
  if (settings.dtype == "f64") model.to(f64);
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
