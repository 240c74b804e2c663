// Muon against plain loops over matrices.
#include "models/optim/muon.h"

#include "models/nn/init.h"
#include "ops/shape.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

namespace {

struct Matrix {
  size_t rows, columns;
  std::vector<double> x;
  double& at(size_t r, size_t c) { return x[r * columns + c]; }
  double at(size_t r, size_t c) const { return x[r * columns + c]; }
};

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix c{a.rows, b.columns, std::vector<double>(a.rows * b.columns)};
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j < b.columns; ++j)
      for (size_t k = 0; k < a.columns; ++k) c.at(i, j) += a.at(i, k) * b.at(k, j);
  return c;
}
Matrix transposed(const Matrix& a) {
  Matrix t{a.columns, a.rows, std::vector<double>(a.x.size())};
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j < a.columns; ++j) t.at(j, i) = a.at(i, j);
  return t;
}
// Always on X Xᵀ from the left, also for tall matrices: the same polynomial of the singular values.
Matrix orthogonalized(Matrix x, int steps) {
  double norm = 0;
  for (double v : x.x) norm += v * v;
  for (double& v : x.x) v /= std::sqrt(norm) + 1e-7;
  for (int s = 0; s < steps; ++s) {
    Matrix a = times(x, transposed(x)), aa = times(a, a), p = a;
    for (size_t i = 0; i < a.x.size(); ++i) p.x[i] = -4.7750 * a.x[i] + 2.0315 * aa.x[i];
    Matrix px = times(p, x);
    for (size_t i = 0; i < x.x.size(); ++i) x.x[i] = 3.4445 * x.x[i] + px.x[i];
  }
  return x;
}

}  // namespace

TEST_CASE("muon: matrices of all proportions, and kernels, match the formula; the rest is AdamW") {
  std::vector<Tensor> p{waves({4, 7}, 1).requires_grad_(), waves({9, 3}, 2).requires_grad_(), waves({4, 2, 3}, 3).requires_grad_(),
                        waves({6}, 4).requires_grad_()};
  for (bool nesterov : {true, false}) {
    std::vector<Tensor> q = optim::clone(p);
    for (Tensor& t : q) t.requires_grad_();
    optim::Muon muon(q,
                     {.lr = 0.05, .momentum = 0.9, .nesterov = nesterov, .weight_decay = 0.1, .adamw = {.lr = 0.01, .weight_decay = 0.2}});
    muon.set_lr_scale(0.5);
    check_updates(muon, [=](std::vector<double>& w, const std::vector<double>& g, ReferenceState& s, int t) {
      if (w.size() == 6) {  // the vector
        for (size_t i = 0; i < w.size(); ++i) {
          w[i] -= 0.005 * 0.2 * w[i];
          s.a[i] = 0.9 * s.a[i] + 0.1 * g[i];
          s.b[i] = 0.999 * s.b[i] + 0.001 * g[i] * g[i];
          w[i] -= 0.005 * s.a[i] / (1 - std::pow(0.9, t)) / (std::sqrt(s.b[i] / (1 - std::pow(0.999, t))) + 1e-8);
        }
        return;
      }
      size_t rows = w.size() == 27 ? 9 : 4, columns = w.size() / rows;
      Matrix u{rows, columns, std::vector<double>(w.size())};
      for (size_t i = 0; i < w.size(); ++i) {
        s.a[i] = 0.9 * s.a[i] + 0.1 * g[i];
        u.x[i] = nesterov ? 0.1 * g[i] + 0.9 * s.a[i] : s.a[i];
      }
      u = orthogonalized(u, 5);
      double step = 0.025 * std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
      for (size_t i = 0; i < w.size(); ++i) w[i] = w[i] * (1 - 0.025 * 0.1) - step * u.x[i];
    }, 6, 1e-9);
  }
}

TEST_CASE("muon: newton_schulz brings all singular values near one") {
  Generator generator(3);
  for (Shape shape : {Shape{2, 9}, Shape{9, 2}}) {
    Tensor g = empty(shape, f64);
    nn::init::normal(g, 0, 1, generator);
    Matrix o{static_cast<size_t>(shape[0]), static_cast<size_t>(shape[1]), to_vector(optim::newton_schulz(g))};
    Matrix gram = shape[0] < shape[1] ? times(o, transposed(o)) : times(transposed(o), o);
    double half = (gram.at(0, 0) + gram.at(1, 1)) / 2, root = std::hypot((gram.at(0, 0) - gram.at(1, 1)) / 2, gram.at(0, 1));
    CHECK(std::sqrt(half - root) > 0.65);
    CHECK(std::sqrt(half + root) < 1.25);
  }
  CHECK_THROWS_WITH_AS(optim::newton_schulz(ones({3})), "newton_schulz: needs a matrix, the shape is [3]", ShapeError);
}

TEST_CASE("muon: a group may leave its matrices to AdamW; the rate is AdamW's there") {
  Tensor a = waves({3, 4}, 1).requires_grad_(), b = waves({3, 4}, 1).requires_grad_();
  optim::Muon muon({a}, {.orthogonal = false, .adamw = {.lr = 0.01, .weight_decay = 0.1}});
  optim::AdamW adamw({b}, {.lr = 0.01, .weight_decay = 0.1});
  double rate = 0;
  muon.add_hook({[&](optim::Update& u) { rate = u.lr; }});
  for (int t = 0; t < 3; ++t) {
    a.set_grad(waves({3, 4}, t));
    b.set_grad(waves({3, 4}, t));
    muon.step();
    adamw.step();
  }
  CHECK(to_vector(a) == to_vector(b));
  CHECK(rate == 0.01);
}

TEST_CASE("muon: a saved state goes on bit by bit; a matrix problem is solved") {
  check_resume([](std::vector<Tensor> p) { return optim::Muon(p, {}); });
  check_resume([](std::vector<Tensor> p) { return optim::Muon(p, {}); }, bf16);
  Tensor target = waves({5, 8}, 2), p = zeros({5, 8}, f64).requires_grad_();
  optim::Muon muon({p}, {.lr = 0.1, .momentum = 0.8});
  for (int t = 0; t < 200; ++t) {
    muon.set_lr_scale(1 - t / 200.0);
    muon.zero_grad();
    (sum((p - target) * (p - target)) * 0.5).backward();
    muon.step();
  }
  CHECK(optim::distance({p}, {target}) < 0.05 * optim::norm({target}));
}

TEST_CASE("muon: a 16-bit matrix is the rounding of its f32 master after every step") {
  Tensor p = waves({4, 7}, 1, bf16).requires_grad_();
  std::vector<double> before = to_vector(p);
  optim::Muon muon({p}, {.lr = 0.05});
  for (int t = 1; t <= 2; ++t) {
    p.set_grad(waves({4, 7}, t, bf16));
    muon.step();
    CHECK(to_vector(to(muon.state().tensors.at("0.master"), bf16)) == to_vector(p));
  }
  CHECK(to_vector(p) != before);
}
