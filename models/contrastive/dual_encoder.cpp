// The space that two encoders share, its loss and its measure.
#include "models/contrastive/dual_encoder.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::contrastive {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("image_width", c.image_width), f("text_width", c.text_width), f("width", c.width), f("temperature", c.temperature);
};

std::string DualEncoderConfig::to_json() const { return fields_to_json(*this, fields); }
DualEncoderConfig DualEncoderConfig::from_json(const std::string& text) {
  return fields_from_json<DualEncoderConfig>("dual_encoder", text, fields);
}

void DualEncoderConfig::check() const {
  require_positive("dual_encoder", {{"image_width", image_width}, {"text_width", text_width}, {"width", width}});
  require(temperature >= 1 / SharedSpace::kLargestScale && std::isfinite(temperature),
          "dual_encoder: temperature must be at least 0.01, it is " + decimal(temperature));
}

SharedSpace::SharedSpace(const DualEncoderConfig& c)
    : config_((c.check(), c)),
      visual_projection(this, "visual_projection", c.image_width, c.width, {.bias = false}),
      text_projection(this, "text_projection", c.text_width, c.width, {.bias = false}),
      logit_scale(this, "logit_scale", scalar_tensor(std::log(1 / c.temperature), f32)) {
  nn::init::normal(visual_projection.weight, 0, 1 / std::sqrt(static_cast<double>(c.image_width)));
  nn::init::normal(text_projection.weight, 0, 1 / std::sqrt(static_cast<double>(c.text_width)));
}

static Tensor projected(const char* side, const nn::Linear& projection, const Tensor& encoded) {
  int64_t width = projection.weight.size(1);
  if (encoded.rank() != 2 || encoded.size(1) != width)
    throw ShapeError(std::string("dual_encoder: the ") + side + " encoder is to give [B, " + std::to_string(width) + "], it gave " +
                     to_string(encoded.shape()));
  return normalize(projection(encoded));
}

Tensor SharedSpace::project_image(const Tensor& encoded) const { return projected("image", visual_projection, encoded); }
Tensor SharedSpace::project_text(const Tensor& encoded) const { return projected("text", text_projection, encoded); }
Tensor SharedSpace::scale() const { return exp(clamp_max(logit_scale, std::log(kLargestScale))); }
Tensor SharedSpace::logits(const Tensor& images, const Tensor& texts) const { return matmul(images, mT(texts)) * scale(); }

void SharedSpace::limit_scale() {
  NoGrad off;
  Tensor value = logit_scale.detach();
  copy_data(clamp_max(value, std::log(kLargestScale)), value);
}

Tensor symmetric_cross_entropy(const Tensor& logits) {
  if (logits.rank() != 2 || logits.size(0) != logits.size(1))
    throw ShapeError("symmetric_cross_entropy: takes logits [n, n], got " + to_string(logits.shape()));
  Tensor own = arange(logits.size(0), i64, logits.device());
  return (cross_entropy(logits, own) + cross_entropy(mT(logits), own)) * 0.5;
}

double recall_at(const Tensor& scores, int64_t k, const Tensor& truth) {
  if (scores.rank() != 2 || (truth.defined() ? truth.shape() != Shape{scores.size(0)} : scores.size(0) > scores.size(1)))
    throw ShapeError("recall_at: scores " + to_string(scores.shape()) + " and truth " +
                     (truth.defined() ? to_string(truth.shape()) : std::string("(each row's own number)")) + " do not fit");
  if (k < 1) throw ValueError("recall_at: k must be at least 1, it is " + std::to_string(k));
  auto rows = static_cast<size_t>(scores.size(0)), columns = static_cast<size_t>(scores.size(1));
  std::vector<double> v = to_vector(scores);
  std::vector<int64_t> own = truth.defined() ? to_vector<int64_t>(truth) : std::vector<int64_t>{};
  int64_t found = 0;
  for (size_t i = 0; i < rows; ++i) {
    size_t column = own.empty() ? i : static_cast<size_t>(own[i]);
    if (column >= columns)
      throw IndexError("recall_at: truth " + std::to_string(own[i]) + " is outside [0, " + std::to_string(columns) + ")");
    const double* row = &v[i * columns];
    int64_t larger = 0;
    for (size_t j = 0; j < columns; ++j) {
      bool after = j == column || row[j] < row[column] || (row[j] == row[column] && j > column);
      larger += !after;  // NaN, of either, counts against the truth
    }
    found += larger < k;
  }
  return rows == 0 ? NAN : static_cast<double>(found) / static_cast<double>(rows);
}

}  // namespace plumb::contrastive
