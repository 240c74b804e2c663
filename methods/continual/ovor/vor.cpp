// Stage two: batches of features beside batches of outliers.
#include "methods/continual/ovor/vor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/data/dataset.h"
#include "methods/common/local_logits.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::ovor {
namespace {

void check_classes(const Tensor& features, const Tensor& labels, ClassRange classes) {
  if (features.rank() != 2 || labels.rank() != 1 || labels.size(0) != features.size(0))
    throw ShapeError("ovor: takes features [n, d] with labels [n], got " + to_string(features.shape()) + " and " +
                     to_string(labels.shape()));
  if (classes.begin < 0 || classes.begin >= classes.end)
    throw ValueError(fmt::format("ovor: the task has no classes: [{}, {})", classes.begin, classes.end));
  std::vector<int64_t> count(static_cast<size_t>(classes.end - classes.begin));
  for (int64_t y : to_vector<int64_t>(labels)) {
    if (y < classes.begin || y >= classes.end)
      throw IndexError(fmt::format("ovor: label {} is outside the task's classes [{}, {})", y, classes.begin, classes.end));
    ++count[static_cast<size_t>(y - classes.begin)];
  }
  for (size_t c = 0; c < count.size(); ++c)
    if (count[c] == 0) throw ValueError(fmt::format("ovor: class {} has no examples", classes.begin + static_cast<int64_t>(c)));
}

}  // namespace

void VorOptions::check() const {
  if (!(lambda >= 0)) throw ValueError(fmt::format("ovor: lambda must not be negative, it is {}", lambda));
  if (batch < 1) throw ValueError(fmt::format("ovor: batches of {}", batch));
  margins.check();
  sampler.check();
}

Tensor vor_loss(const nn::Linear& head, const Tensor& features, const Tensor& labels, const Tensor& outliers, ClassRange classes,
                const VorOptions& o) {
  Tensor logits = head(features), loss = local_cross_entropy(logits, labels, classes.begin, classes.end);
  if (o.lambda == 0) return loss;
  Tensor in, out;
  if (o.inliers) in = energy_score(logits, classes.begin, classes.end);
  if (o.outliers && outliers.defined()) out = energy_score(head(outliers), classes.begin, classes.end);
  return in.defined() || out.defined() ? loss + o.lambda * energy_hinge_loss(in, out, o.margins) : loss;
}

void vor_epoch(nn::Linear& head, const Tensor& features, const Tensor& labels, ClassRange classes, optim::Optimizer& optimizer,
               const VorOptions& o, Generator& generator) {
  o.check();
  check_classes(features, labels, classes);
  // Two generators, so that batches are the same with and without outliers.
  Generator shuffles(generator.next_u64()), offsets(generator.next_u64());
  Tensor z = features.detach(), outliers;
  if (o.lambda > 0 && o.outliers) outliers = sample_outliers(z, classes.end - classes.begin, o.sampler, offsets).rows;
  std::vector<int64_t> order = data::random_order(z.size(0), shuffles);
  auto n = static_cast<int64_t>(order.size()), batches = (n + o.batch - 1) / o.batch;
  int64_t each = outliers.defined() ? std::max<int64_t>(1, outliers.size(0) / batches) : 0;
  for (int64_t b = 0; b < batches; ++b) {
    Tensor at = from_vector(std::vector<int64_t>(order.begin() + b * o.batch, order.begin() + std::min(n, (b + 1) * o.batch)));
    Tensor v = outliers.defined() && (b + 1) * each <= outliers.size(0) ? narrow(outliers, 0, b * each, each) : Tensor();
    optimizer.zero_grad();
    vor_loss(head, index_select(z, 0, at), index_select(labels, 0, at), v, classes, o).backward();
    optimizer.step();
  }
}

optim::Schedule task_schedule(int64_t epochs) {
  if (epochs < 1) throw ValueError(fmt::format("ovor: a schedule of {} epochs", epochs));
  return [epochs](int64_t epoch) {
    if (epochs == 1) return 1.0;
    return std::cos(99 * std::numbers::pi * static_cast<double>(epoch) / (200 * static_cast<double>(epochs - 1)));
  };
}

}  // namespace plumb::methods::ovor
