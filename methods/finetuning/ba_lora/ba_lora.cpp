// The losses of BA-LoRA.
#include "methods/finetuning/ba_lora/ba_lora.h"

#include <string>

#include "methods/common/decorrelation.h"
#include "methods/common/singular_values.h"
#include "methods/common/token_losses.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::ba_lora {
namespace {

void check(const Tensor& logits, const Tensor& pretrained, int rank, const char* form, const Penalties& penalties) {
  if (logits.rank() != rank) throw ShapeError(std::string("ba_lora: takes logits ") + form + ", got " + to_string(logits.shape()));
  if (pretrained.shape() != logits.shape())
    throw ShapeError("ba_lora: the logits are " + to_string(logits.shape()) + ", those of the pretrained model " +
                     to_string(pretrained.shape()));
  if (penalties.top < 1) throw ValueError("ba_lora: top must be at least 1, it is " + std::to_string(penalties.top));
}

// At most kSpectrumRows rows, evenly spaced.
Tensor thinned(const Tensor& rows) {
  int64_t n = rows.size(0);
  if (n <= kSpectrumRows) return rows;
  Tensor places = floor_divide(arange(kSpectrumRows, i64, rows.device()) * n, scalar_tensor(kSpectrumRows, i64, rows.device()));
  return index_select(rows, 0, places);
}

}  // namespace

Tensor consistency_mse_normalized(const Tensor& logits, const Tensor& pretrained) {
  check(logits, pretrained, 2, "[B, D]", {});
  return mse_loss(normalize(logits), normalize(pretrained.detach()));
}

Tensor classification_loss(const Tensor& logits, const Tensor& pretrained, const Tensor& label, const Penalties& p) {
  check(logits, pretrained, 2, "[B, D]", p);
  Tensor loss = cross_entropy(logits, label);
  if (p.consistency != 0) loss = loss + consistency_mse_normalized(logits, pretrained) * p.consistency;
  if (p.diversity != 0) loss = loss + off_diagonal_covariance(logits) * p.diversity;
  if (p.spectrum != 0) loss = loss - svd_ratio(logits, p.top) * p.spectrum;
  return loss;
}

Tensor language_loss(const Tensor& logits, const Tensor& pretrained, const Tensor& target, const Tensor& mask, const Penalties& p) {
  check(logits, pretrained, 3, "[B, T, V]", p);
  Tensor tokens = token_rows("ba_lora", logits, mask);
  Tensor loss = cross_entropy(tokens, token_values("ba_lora", target, mask));
  if (p.consistency != 0) loss = loss + consistency_kl(tokens, token_rows("ba_lora", pretrained.detach(), mask)) * p.consistency;
  if (p.diversity != 0) loss = loss + negative_entropy(tokens) * p.diversity;
  if (p.spectrum != 0) loss = loss - svd_ratio(thinned(tokens), p.top) * p.spectrum;
  return loss;
}

}  // namespace plumb::methods::ba_lora
