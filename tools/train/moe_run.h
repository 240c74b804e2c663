// The runs of `plumb train moe`.
#pragma once
#include "models/moe/gpt.h"
#include "models/moe/losses.h"
#include "tools/language_model.h"

namespace plumb::tools {

/// Everything that config.json of a run of experts holds.
struct MoeRun : TextRun {
  moe::MoeGptConfig model;
  moe::LossWeights losses;
  std::string upcycle;  // absolute path of the dense run; empty: none
  bool expert_parallel = false;

  const char* kind() const override { return "moe"; }
  std::string to_json() const override;
  /// Throws ConfigError if `json` is of a run of another kind.
  static MoeRun from_json(const std::string& json);
  void check() const override;
  void set_vocab(int64_t tokens) override { model.gpt.vocab = tokens; }
  int64_t context() const override { return model.gpt.context; }
  std::optional<Tokenizer> given_tokenizer() const override;
  void complete(const train::RunDirectory& run) const override;
  std::unique_ptr<LanguageModel> make(const train::RunDirectory& run) const override;
};

}  // namespace plumb::tools
