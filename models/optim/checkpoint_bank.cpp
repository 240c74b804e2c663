// Combinations of checkpoints.
#include "models/optim/checkpoint_bank.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "models/optim/parameters.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::optim {
namespace {

constexpr int64_t kBlock = 4096;

}  // namespace

void BankWindow::check() const {
  if (first < 0 || interval < 1 || most < 0)
    throw ValueError("checkpoint_bank: needs first >= 0, interval >= 1 and most >= 0, got " + std::to_string(first) + ", " +
                     std::to_string(interval) + " and " + std::to_string(most));
}

CheckpointBank::CheckpointBank(BankWindow window) : window_(window) { window.check(); }

bool CheckpointBank::offer(int64_t step, const std::vector<Tensor>& parameters) {
  if (step < window_.first || (step - window_.first) % window_.interval != 0) return false;
  NoGrad off;
  std::vector<Tensor> wide;
  for (const Tensor& p : parameters) wide.push_back(to(p, f32));
  Tensor row = to(flatten(wide), Device(cpu));
  if (!rows_.empty() && row.numel() != rows_.front().numel())
    throw ShapeError("checkpoint_bank: a checkpoint of " + std::to_string(row.numel()) + " parameters among others of " +
                     std::to_string(rows_.front().numel()));
  rows_.push_back(contiguous_data(row));
  if (window_.most > 0 && size() > window_.most) rows_.erase(rows_.begin());
  return true;
}

Tensor CheckpointBank::matrix() const {
  if (rows_.empty()) throw ValueError("checkpoint_bank: there are no checkpoints");
  std::vector<Tensor> rows;
  for (const Tensor& row : rows_) rows.push_back(unsqueeze(row, 0));
  return cat(rows);
}

Tensor CheckpointBank::combined(const std::vector<double>& a, bool any_sum) const {
  if (size() < 2) throw ValueError("checkpoint_bank: combining takes at least 2 checkpoints, there are " + std::to_string(size()));
  if (a.size() != rows_.size())
    throw ValueError("checkpoint_bank: " + std::to_string(a.size()) + " coefficients for " + std::to_string(size()) + " checkpoints");
  double total = 0;
  for (double x : a) total += x;
  if (!std::isfinite(total) || (!any_sum && std::abs(total - 1) > 1e-6))
    throw ValueError("checkpoint_bank: coefficients must sum to 1, they sum to " + decimal(total));
  auto pivot = static_cast<size_t>(std::ranges::max_element(a, {}, [](double x) { return std::abs(x); }) - a.begin());
  std::vector<const float*> rows;
  for (const Tensor& row : rows_) rows.push_back(static_cast<const float*>(row.raw_data()));
  Tensor result = empty({parameters()}, f32, cpu);
  auto* out = static_cast<float*>(result.raw_data());
  double scale = any_sum ? total : 1;
  // Sums of a block of parameters stay in the cache while the rows pass by.
  parallel_for((parameters() + kBlock - 1) / kBlock, 1, [&](int64_t first, int64_t last) {
    std::vector<double> sums(kBlock);
    for (int64_t block = first; block < last; ++block) {
      int64_t begin = block * kBlock;
      auto n = static_cast<size_t>(std::min(kBlock, parameters() - begin));
      std::fill(sums.begin(), sums.end(), 0.0);
      const float* base = rows[pivot] + begin;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (i == pivot || a[i] == 0) continue;
        const float* row = rows[i] + begin;
        for (size_t p = 0; p < n; ++p) sums[p] += a[i] * (static_cast<double>(row[p]) - static_cast<double>(base[p]));
      }
      for (size_t p = 0; p < n; ++p) out[begin + static_cast<int64_t>(p)] = static_cast<float>(scale * base[p] + sums[p]);
    }
  });
  return result;
}

void CheckpointBank::combine(const std::vector<double>& coefficients, const std::vector<Tensor>& into, bool any_sum) const {
  int64_t count = 0;
  for (const Tensor& t : into) count += t.numel();
  if (count != parameters())
    throw ShapeError("checkpoint_bank: " + std::to_string(parameters()) + " parameters do not fit into " + std::to_string(count));
  NoGrad off;
  Tensor row = combined(coefficients, any_sum);
  if (!into.empty()) row = to(row, into.front().device());
  unflatten(row, into);
}

std::vector<double> ema_coefficients(int64_t count, double g) {
  if (count < 2) throw ValueError("ema_coefficients: takes at least 2 checkpoints, got " + std::to_string(count));
  if (!(g > 0 && g < 1)) throw ValueError("ema_coefficients: the decay must lie in (0, 1), it is " + decimal(g));
  std::vector<double> a{std::pow(g, static_cast<double>(count - 1))};
  for (int64_t i = 2; i <= count; ++i) a.push_back((1 - g) * std::pow(g, static_cast<double>(count - i)));
  return a;
}

}  // namespace plumb::optim
