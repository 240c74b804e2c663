// Losses between vectors: angles, distances, and which key belongs to which query.
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/loss_call.h"
#include "ops/matmul.h"
#include "ops/norm_formula.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {

using detail::reduced;

Tensor cosine_similarity(const Tensor& first, const Tensor& second, int dim, double eps) {
  detail::check_positive("cosine_similarity", "eps", eps);
  Shape shape = broadcast_shapes("cosine_similarity", first.shape(), second.shape());
  Tensor a = expand(detail::loss_input(first), shape), b = expand(detail::loss_input(second), shape);
  dim = checked_dim("cosine_similarity", dim, shape.rank());
  return sum(a * b, {dim}) / clamp_min(detail::vector_length("cosine_similarity", a, 2, {dim}, false) *
                                           detail::vector_length("cosine_similarity", b, 2, {dim}, false),
                                       eps);
}

Tensor cosine_embedding_loss(const Tensor& first, const Tensor& second, const Tensor& target, const CosineEmbeddingOptions& o) {
  auto [a, b] = detail::loss_inputs("cosine_embedding_loss", first, second);
  if (a.rank() == 0 || target.shape() != a.shape().slice(0, a.rank() - 1))
    throw ShapeError("cosine_embedding_loss: the target must have the vectors' shape without its last dimension: vectors " +
                     to_string(a.shape()) + ", target " + to_string(target.shape()));
  detail::check_allowed("cosine_embedding_loss", "target", target, Allowed::sign);
  Tensor c = cosine_similarity(a, b, -1);
  return reduced(where(target > 0, 1 - c, relu(c - o.margin)), o.reduction);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, const TripletOptions& o) {
  auto [a, p] = detail::loss_inputs("triplet_margin_loss", anchor, positive);
  auto [same, n] = detail::loss_inputs("triplet_margin_loss", anchor, negative);
  if (a.rank() == 0) throw ShapeError("triplet_margin_loss: takes vectors [.., n], got single numbers");
  auto distance = [&](const Tensor& x, const Tensor& y) {
    return detail::vector_length("triplet_margin_loss", x - y + o.eps, o.p, {-1}, false);
  };
  Tensor far = distance(a, n);
  if (o.swap) far = minimum(far, distance(p, n));
  return reduced(relu(distance(a, p) - far + o.margin), o.reduction);
}

Tensor info_nce(const Tensor& queries, const Tensor& keys, const InfoNceOptions& o) {
  auto [q, k] = detail::loss_inputs("info_nce", queries, keys);
  detail::check_positive("info_nce", "temperature", o.temperature);
  if (q.rank() != 2) throw ShapeError("info_nce: queries and keys must be [batch, n], they are " + to_string(q.shape()));
  if (o.normalize) {
    q = normalize(q, 2, -1);
    k = normalize(k, 2, -1);
  }
  Tensor all = k;
  if (o.negatives.defined()) {
    if (o.negatives.rank() != 2 || o.negatives.size(1) != q.size(1))
      throw ShapeError("info_nce: negatives must be [m, " + std::to_string(q.size(1)) + "], they are " + to_string(o.negatives.shape()));
    Tensor others = to(o.negatives, q.dtype());
    all = cat({k, o.normalize ? normalize(others, 2, -1) : others}, 0);
  }
  Tensor truth = arange(q.size(0), i64, q.device()), scaled = q * (1 / o.temperature);
  CrossEntropyOptions options{.reduction = o.reduction};
  Tensor loss = cross_entropy(matmul(scaled, mT(all)), truth, options);
  if (!o.symmetric) return loss;
  return (loss + cross_entropy(matmul(k, mT(scaled)), truth, options)) * 0.5;
}

}  // namespace plumb
