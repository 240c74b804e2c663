// A small text encoder: hashed groups of three characters, their vectors' mean, one linear layer.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/nn/dropout.h"
#include "models/nn/embedding.h"
#include "models/nn/linear.h"

namespace plumb::retrieval {

/// The buckets of a text: 32-bit FNV-1a of every three bytes in a row of " text ", modulo `buckets`. A text of no characters has none.
/// Throws ValueError for buckets < 1.
std::vector<int64_t> hashed_trigrams(const std::string& text, int64_t buckets);

struct BagEncoderConfig {
  int64_t buckets = 1 << 14;
  int64_t embedding = 64;  ///< numbers a bucket
  int64_t width = 64;      ///< of what comes out
  double dropout = 0;      ///< of the mean
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// linear(dropout(mean over a text's buckets of their vectors)).
class BagEncoder : public nn::Module {
 public:
  explicit BagEncoder(const BagEncoderConfig& config);
  /// Texts by their buckets → [texts, width]; one without buckets has the mean 0. Throws IndexError for a bucket outside.
  Tensor operator()(const std::vector<const std::vector<int64_t>*>& texts) const;
  const BagEncoderConfig& config() const { return config_; }

  nn::Embedding table;
  nn::Linear linear;

 private:
  BagEncoderConfig config_;
  nn::Dropout dropout_;
};

}  // namespace plumb::retrieval
