// What `plumb train gpt`, `sample` and `eval` share: a run's settings, its text, its tokenizer and its model.
#pragma once
#include <string>
#include <vector>

#include "engine/data/tokens.h"
#include "engine/io/tokenizer.h"
#include "models/train/run_directory.h"
#include "models/transformer/gpt.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a GPT run holds.
struct GptRun {
  std::vector<std::string> data;  ///< absolute paths, joined in this order
  std::string data_sha256;        ///< of the joined text
  std::string tokenizer = "char";
  int64_t bpe_vocab = 4096;
  transformer::GptConfig model;
  TrainingSettings training;

  std::string to_json() const;
  static GptRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// The files' texts joined. Throws IoError naming a file that is missing, empty or unreadable.
std::string read_texts(const std::vector<std::string>& files);
/// Tokens of `text`, called `name` in errors.
data::TokenStream encode_text(const Tokenizer& tokenizer, const std::string& text, const std::string& name);
/// The settings of a GPT run; throws ConfigError if `run` is a run of another kind.
GptRun load_settings(const train::RunDirectory& run);
/// The run's model with its trained weights, in evaluation mode.
transformer::Gpt load_gpt(const train::RunDirectory& run, const GptRun& settings);
/// The mean cross-entropy over `windows`, in nats a token.
double mean_loss(const transformer::Gpt& model, const data::ConsecutiveWindows& windows);

}  // namespace plumb::tools
