// The runs of `plumb train encoder`.
#pragma once
#include "models/transformer/encoder.h"
#include "tools/train/settings.h"

namespace plumb::tools {

/// Everything that config.json of an encoder run holds.
struct EncoderRun {
  std::string data;         ///< absolute path of review_polarity.tar.gz
  std::string data_sha256;
  int64_t fold = 9;         ///< what is tested on; the other nine are trained on
  double validation = 0.1;  ///< share of the nine to choose settings by; 0: none
  int64_t vocab = 8000, min_count = 3;
  double word_dropout = 0.1;  ///< share of the words of a training review that are made unknown
  double head_dropout = 0.5;
  transformer::EncoderConfig model{.layers = 1,
                                   .heads = 4,
                                   .width = 64,
                                   .inner = 128,
                                   .context = 256,
                                   .token_types = 1,
                                   .dropout = 0.2,
                                   .attention_dropout = 0.1,
                                   .norm_eps = 1e-5,
                                   .pooler = false};
  TrainingSettings training;

  EncoderRun() {
    training.batch = 16, training.steps = 2000, training.warmup = 100, training.eval_every = 250;
    training.lr = 1e-3, training.min_lr = 1e-5, training.weight_decay = 0.05, training.beta2 = 0.999;
  }
  std::string to_json() const;
  /// Throws ConfigError if `json` is of a run of another kind.
  static EncoderRun from_json(const std::string& json);
  void check() const;
};

}  // namespace plumb::tools
