// Small regressions one after the other, in plain loops over rows: A is read along its rows both for A x and for Aᵀ r.
#include <algorithm>
#include <cmath>
#include <limits>

#include "methods/common/least_squares.h"

namespace plumb::methods {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += a[i] * b[i];
  return total;
}

void add(double step, const double* a, double* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) b[i] += step * a[i];
}

// y ← R⁻¹ y, R upper triangular with row stride `stride`.
void solve_upper(const double* r, int64_t stride, int64_t k, double* y) {
  for (int64_t i = k - 1; i >= 0; --i) {
    double v = y[i] - dot(r + i * stride + i + 1, y + i + 1, k - i - 1);
    y[i] = v / r[i * stride + i];
  }
}

// y ← R⁻ᵀ y.
void solve_upper_transposed(const double* r, int64_t stride, int64_t k, double* y) {
  for (int64_t i = 0; i < k; ++i) {
    y[i] /= r[i * stride + i];
    add(-y[i], r + i * stride + i + 1, y + i + 1, k - i - 1);
  }
}

// The lower triangle of G becomes L with L Lᵀ = G; false if a pivot falls below rounding.
bool cholesky_in_place(double* g, int64_t k) {
  double largest = 0;
  for (int64_t i = 0; i < k; ++i) largest = std::max(largest, g[i * k + i]);
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double v = g[i * k + j] - dot(g + i * k, g + j * k, j);
      if (i != j) {
        g[i * k + j] = v / g[j * k + j];
      } else {
        if (!(v > 1e-10 * largest)) return false;
        g[i * k + i] = std::sqrt(v);
      }
    }
  return true;
}

}  // namespace

bool detail::householder(double* m, int64_t rows, int64_t columns, int64_t pivots, int64_t& multiply_adds) {
  double largest = 0;
  for (int64_t j = 0; j < pivots; ++j) {
    double squares = 0;
    for (int64_t i = j; i < rows; ++i) squares += m[i * columns + j] * m[i * columns + j];
    double length = std::sqrt(squares);
    largest = std::max(largest, length);
    if (!(length > static_cast<double>(rows) * std::numeric_limits<double>::epsilon() * largest)) return false;
    double head = m[j * columns + j], sign = head < 0 ? -1 : 1;
    double scale = 1 / (squares + std::abs(head) * length);  // 2 / ‖v‖² for v = column + sign · length · e_j
    m[j * columns + j] = head + sign * length;
    for (int64_t c = j + 1; c < columns; ++c) {
      double along = 0;
      for (int64_t i = j; i < rows; ++i) along += m[i * columns + j] * m[i * columns + c];
      for (int64_t i = j; i < rows; ++i) m[i * columns + c] -= scale * along * m[i * columns + j];
    }
    multiply_adds += (rows - j) * (1 + 2 * (columns - j - 1));
    m[j * columns + j] = -sign * length;
    for (int64_t i = j + 1; i < rows; ++i) m[i * columns + j] = 0;
  }
  return true;
}

// residual_ = b − A x
void SmallSolver::residual(const SmallRegression& p, const double* x) {
  residual_.resize(static_cast<size_t>(p.rows));
  for (int64_t i = 0; i < p.rows; ++i) residual_[static_cast<size_t>(i)] = p.b[i] - dot(p.a + i * p.columns, x, p.columns);
  multiply_adds += p.rows * p.columns;
}

// gradient_ = R⁻ᵀ Aᵀ residual_; its squared length.
double SmallSolver::gradient(const SmallRegression& p, const double* r) {
  gradient_.assign(static_cast<size_t>(p.columns), 0);
  for (int64_t i = 0; i < p.rows; ++i) add(residual_[static_cast<size_t>(i)], p.a + i * p.columns, gradient_.data(), p.columns);
  if (r) solve_upper_transposed(r, p.columns, p.columns, gradient_.data());
  multiply_adds += p.rows * p.columns + p.columns + (r ? p.columns * (p.columns + 1) / 2 : 0);
  return dot(gradient_.data(), gradient_.data(), p.columns);
}

// moved_ = R⁻¹ direction; x += step · moved_
void SmallSolver::add_preconditioned(int64_t k, const double* r, const double* direction, double step, double* x) {
  moved_.assign(direction, direction + k);
  if (r) solve_upper(r, k, k, moved_.data());
  add(step, moved_.data(), x, k);
  multiply_adds += k + (r ? k * (k + 1) / 2 : 0);
}

bool SmallSolver::exact(const SmallRegression& p, double* x) {
  int64_t k = p.columns;
  square_.assign(static_cast<size_t>(k * k), 0);
  std::fill(x, x + k, 0.0);
  for (int64_t i = 0; i < p.rows; ++i) {
    const double* row = p.a + i * k;
    for (int64_t j = 0; j < k; ++j) add(row[j], row, square_.data() + j * k, j + 1);
    add(p.b[i], row, x, k);
  }
  multiply_adds += p.rows * (k * (k + 1) / 2 + k) + k * (k + 1) * (k + 2) / 6 + k * (k + 1);
  if (!cholesky_in_place(square_.data(), k)) return exact_qr(p, x);
  const double* l = square_.data();
  for (int64_t i = 0; i < k; ++i) x[i] = (x[i] - dot(l + i * k, x, i)) / l[i * k + i];
  for (int64_t i = k - 1; i >= 0; --i) {
    x[i] /= l[i * k + i];
    add(-x[i], l + i * k, x, i);
  }
  return true;
}

bool SmallSolver::exact_qr(const SmallRegression& p, double* x) {
  int64_t k = p.columns, width = k + 1;
  if (p.rows < k) return false;
  tall_.resize(static_cast<size_t>(p.rows * width));
  for (int64_t i = 0; i < p.rows; ++i) {
    std::copy(p.a + i * k, p.a + (i + 1) * k, tall_.data() + i * width);
    tall_[static_cast<size_t>(i * width + k)] = p.b[i];
  }
  if (!detail::householder(tall_.data(), p.rows, width, k, multiply_adds)) return false;
  for (int64_t i = 0; i < k; ++i) x[i] = tall_[static_cast<size_t>(i * width + k)];
  solve_upper(tall_.data(), width, k, x);
  multiply_adds += k * (k + 1) / 2;
  return true;
}

// A step lessens ‖b − A x‖² by α γ. Once that is below the rounding of the residual, going on would only blow rounding up: near the
// solution the gradient no longer shrinks, and directions add up.
int64_t SmallSolver::cgls(const SmallRegression& p, double* x, int64_t steps, const double* r) {
  constexpr double kRounding = 4 * std::numeric_limits<double>::epsilon();
  int64_t k = p.columns;
  residual(p, x);
  double gamma = gradient(p, r);
  direction_ = gradient_;
  image_.resize(static_cast<size_t>(p.rows));
  for (int64_t step = 0; step < steps; ++step) {
    if (gamma == 0) return step;
    moved_ = direction_;
    if (r) solve_upper(r, k, k, moved_.data());
    for (int64_t i = 0; i < p.rows; ++i) image_[static_cast<size_t>(i)] = dot(p.a + i * k, moved_.data(), k);
    double length = dot(image_.data(), image_.data(), p.rows), left = dot(residual_.data(), residual_.data(), p.rows);
    multiply_adds += p.rows * (k + 2) + (r ? k * (k + 1) / 2 : 0);
    if (length == 0 || gamma / length * gamma <= kRounding * kRounding * left) return step;
    double alpha = gamma / length;
    add(alpha, moved_.data(), x, k);
    multiply_adds += k;
    if (step + 1 == steps) return steps;  // what follows prepares a step that is not made
    add(-alpha, image_.data(), residual_.data(), p.rows);
    double next = gradient(p, r), beta = next / gamma;
    for (int64_t i = 0; i < k; ++i)
      direction_[static_cast<size_t>(i)] = gradient_[static_cast<size_t>(i)] + beta * direction_[static_cast<size_t>(i)];
    multiply_adds += p.rows + k;
    gamma = next;
  }
  return steps;
}

void SmallSolver::richardson(const SmallRegression& p, double* x, int64_t steps, const double* r, double eta, bool checked) {
  int64_t k = p.columns;
  residual(p, x);
  double length = gradient(p, r);
  for (int64_t step = 0; step < steps; ++step) {
    if (checked) before_.assign(x, x + k);
    direction_ = gradient_;
    add_preconditioned(k, r, direction_.data(), eta, x);
    if (step + 1 == steps && !checked) return;
    residual(p, x);
    double next = gradient(p, r);
    if (checked && !(next <= length)) {
      std::copy(before_.begin(), before_.end(), x);
      gradient_ = direction_;
      eta /= 2;
      continue;
    }
    length = next;
  }
}

bool SmallSolver::sketch(const SmallRegression& p, int64_t sketch_rows, Generator& generator, double* r, double* x) {
  int64_t k = p.columns, width = k + 1;
  if (sketch_rows < k) return false;
  tall_.assign(static_cast<size_t>(sketch_rows * width), 0);
  for (int64_t i = 0; i < p.rows; ++i) {
    uint32_t word = generator.next_u32();
    double sign = word & 1 ? 1 : -1;
    double* row = tall_.data() + static_cast<int64_t>((uint64_t{word >> 1} * static_cast<uint64_t>(sketch_rows)) >> 31) * width;
    add(sign, p.a + i * k, row, k);
    row[k] += sign * p.b[i];
  }
  multiply_adds += p.rows * width;
  if (!detail::householder(tall_.data(), sketch_rows, width, k, multiply_adds)) return false;
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < k; ++j) r[i * k + j] = j < i ? 0 : tall_[static_cast<size_t>(i * width + j)];
    x[i] = tall_[static_cast<size_t>(i * width + k)];
  }
  solve_upper(r, k, k, x);
  multiply_adds += k * (k + 1) / 2;
  return true;
}

}  // namespace plumb::methods
