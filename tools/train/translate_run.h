// The runs of `plumb train translate`.
#pragma once
#include "engine/data/number_pairs.h"
#include "models/transformer/translator.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of a translate run holds.
struct TranslateRun {
  int64_t digits = 6;
  bool to_words = false;
  transformer::TranslatorConfig model{.encoder_layers = 2, .decoder_layers = 2, .width = 64, .inner = 256};
  TrainingSettings training;

  TranslateRun() {
    training.batch = 64, training.steps = 1500, training.warmup = 100, training.eval_every = 250;
    training.lr = 1e-3, training.min_lr = 1e-5, training.weight_decay = 0.01, training.beta2 = 0.98;
  }
  data::NumberPairs pairs() const { return {digits, to_words}; }

  std::string to_json() const;
  /// Throws ConfigError if `json` is of a run of another kind.
  static TranslateRun from_json(const std::string& json);
};

}  // namespace plumb::tools
