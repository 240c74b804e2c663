// The two networks of T-JEPA: an encoder of the features of a row that are seen, and a predictor of the latents of those that are not.
#pragma once
#include <vector>

#include "methods/representation/t_jepa/masks.h"
#include "models/nn/containers.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/transformer/encoder.h"
#include "models/transformer/tabular.h"

namespace plumb::methods::t_jepa {

enum class Init : uint8_t {
  official,  ///< linear layers, mask token and categories N(0, 0.02²); packed query, key and value projections Xavier-uniform
  xavier  ///< linear layers and projections Xavier-uniform, mask token N(0, 0.02²), categories U(−1/√h, 1/√h): a larger signal beside the
          ///< position code
};

/// A row as tokens T = [r; t_num …; t_cat …]: R learned rows that every row shares, then t_j = x_j W_j + b_j for numbers and
/// t_j = E_j[x_j] + b_j for categories. W, b and r start as U(−1/√h, 1/√h).
class FeatureTokenizer : public nn::Module {
 public:
  /// Throws ValueError for a table without columns, a width below 1 or n_reg < 0.
  FeatureTokenizer(int64_t numeric, const std::vector<int64_t>& cardinalities, int64_t width, int64_t n_reg = 1);
  FeatureTokenizer(Module* parent, std::string name, int64_t numeric, const std::vector<int64_t>& cardinalities, int64_t width,
                   int64_t n_reg)
      : FeatureTokenizer(numeric, cardinalities, width, n_reg) {
    join(parent, std::move(name));
  }
  /// numbers [B, numeric], categories i64 [B, columns] (undefined where there are none) → [B, R + D, h].
  Tensor operator()(const Tensor& numbers, const Tensor& categories = {}) const;

  transformer::FeatureTokens features;
  nn::Parameter reg;  ///< [R, h]; undefined for R = 0
};

struct EncoderOptions {
  int64_t numeric = 0;
  std::vector<int64_t> cardinalities = {};
  int64_t width = 32, layers = 2, heads = 4, inner = 64;
  int64_t n_reg = 1;            ///< R
  double dropout = 0;
  bool positions = true;        ///< adds the sinusoidal code of base 100
  bool type_embedding = false;  ///< adds a learned row to numbers and another to categories
  Init init = Init::official;

  int64_t features() const { return numeric + static_cast<int64_t>(cardinalities.size()); }
  int64_t tokens() const { return n_reg + features(); }
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Post-norm transformer layers, then dropout, layer norm, linear, dropout, layer norm: [B, n, width] → [B, n, width].
class Trunk : public nn::Module {
 public:
  Trunk(int64_t width, int64_t layers, int64_t heads, int64_t inner, double dropout);
  Trunk(Module* parent, std::string name, int64_t width, int64_t layers, int64_t heads, int64_t inner, double dropout)
      : Trunk(width, layers, heads, inner, dropout) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

 private:
  nn::ModuleList<transformer::EncoderBlock> blocks_;
  nn::Dropout dropout_;
  nn::LayerNorm norm1_;
  nn::Linear linear_;
  nn::LayerNorm norm2_;
};

/// f: the tokens of a row, or of some of its features, → their latents.
class TabularEncoder : public nn::Module {
 public:
  /// Weights from the default generator. Throws ConfigError as EncoderOptions::check.
  explicit TabularEncoder(const EncoderOptions& options);
  /// All features: [B, R + D, h]. With `context` i64 [B, n_c], features 0 … D − 1 of each row: those and the R shared tokens alone enter
  /// the transformer, [B, R + n_c, h]: what is hidden is absent, not zero. Throws IndexError for a feature outside the row.
  Tensor operator()(const Tensor& numbers, const Tensor& categories = {}, const Tensor& context = {}) const;
  const EncoderOptions& options() const { return options_; }

  FeatureTokenizer tokenizer;

 private:
  EncoderOptions options_;
  nn::Buffer position_;
  nn::Parameter type_;
  Trunk trunk_;
};

struct PredictorOptions {
  int64_t width = 16, layers = 2, heads = 2, inner = 32;
};

/// g: from the context's latents z to those of each set of targets. Each token's place, REG token r at r and feature j at R + j, is told by
/// a sinusoidal code of base 10,000; a target is a learned mask token + its code.
class LatentPredictor : public nn::Module {
 public:
  LatentPredictor(const EncoderOptions& encoder, const PredictorOptions& options);
  /// z [B, R + n_c, h] of the features context [B, n_c], targets P of [B, n_t] → [P·B, n_t, h], set by set.
  Tensor operator()(const Tensor& z, const Tensor& context, const std::vector<Tensor>& targets) const;

  nn::Parameter mask_token;  ///< [width]

 private:
  int64_t n_reg_;
  nn::Linear in_;
  nn::Buffer position_;
  Trunk trunk_;
  nn::LayerNorm norm_;
  nn::Linear out_;
};

/// Of hidden states [B, R + D, h]: those of the targets, [P·B, n_t, h], set by set.
Tensor gather_targets(const Tensor& hidden, const std::vector<Tensor>& targets, int64_t n_reg);
/// [count, width], row p: sin(p ω_i) at 2i, cos(p ω_i) at 2i + 1, ω_i = base^(−2i/width). width even.
Tensor interleaved_positions(int64_t count, int64_t width, double base);

}  // namespace plumb::methods::t_jepa
