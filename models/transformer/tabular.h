// The tabular transformer (FT-Transformer: Gorishniy et al., NeurIPS 2021): each column of a table is a token.
#pragma once
#include <string>

#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/transformer/pre_norm_block.h"

namespace plumb::transformer {

struct TabularConfig {
  int64_t numeric = 0;                  ///< columns of numbers
  std::vector<int64_t> categories = {}; ///< of each column of categories, how many there are
  int64_t outputs = 1;                  ///< classes, or numbers to predict
  int64_t layers = 3;
  int64_t heads = 8;                    ///< width must be a multiple
  int64_t width = 64;                   ///< of the residual stream
  int64_t inner = 85;                   ///< width inside the gated feed-forward networks
  double dropout = 0, attention_dropout = 0.2;

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static TabularConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Columns as tokens: number j becomes x_j · weight_j + bias_j, category j the row x_j of a table of its own + bias_j.
class FeatureTokens : public nn::Module {
 public:
  FeatureTokens(int64_t numeric, const std::vector<int64_t>& categories, int64_t width);
  FeatureTokens(Module* parent, std::string name, int64_t numeric, const std::vector<int64_t>& categories, int64_t width)
      : FeatureTokens(numeric, categories, width) {
    join(parent, std::move(name));
  }
  /// numbers [B, numeric] floating, categories [B, columns] integer; either undefined if there are none → [B, numeric + columns, width].
  Tensor operator()(const Tensor& numbers, const Tensor& categories) const;

 private:
  nn::Parameter weight_, bias_;
  nn::ModuleList<nn::Embedding> tables_;
};

class TabularTransformer : public nn::Module {
 public:
  /// Feature tokens start as U(−1/√width, 1/√width), as in the paper; other weights as their layers do. Throws ConfigError as check().
  explicit TabularTransformer(const TabularConfig& config);

  /// numbers [B, numeric], categories [B, columns] → [B, outputs], read off a class token behind the blocks: head(relu(norm(x))).
  /// Throws ShapeError for other tables, IndexError for a category out of range.
  Tensor operator()(const Tensor& numbers, const Tensor& categories = {}) const;
  const TabularConfig& config() const { return config_; }

 private:
  TabularConfig config_;
  FeatureTokens tokens_;
  nn::Parameter class_token_;
  nn::ModuleList<PreNormBlock> blocks_;
  nn::LayerNorm norm_;
  nn::Linear head_;
};

}  // namespace plumb::transformer
