// The runs of `plumb train gpt`.
#pragma once
#include "models/transformer/gpt.h"
#include "tools/language_model.h"

namespace plumb::tools {

/// Everything that config.json of a GPT run holds.
struct GptRun : TextRun {
  transformer::GptConfig model;

  const char* kind() const override { return "gpt"; }
  std::string to_json() const override;
  /// Throws ConfigError if `json` is of a run of another kind.
  static GptRun from_json(const std::string& json);
  void check() const override;
  void set_vocab(int64_t tokens) override { model.vocab = tokens; }
  int64_t context() const override { return model.context; }
  std::unique_ptr<LanguageModel> make(const train::RunDirectory& run) const override;
};

}  // namespace plumb::tools
