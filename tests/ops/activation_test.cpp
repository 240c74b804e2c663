// Activations against their formulas in double, in every type and for any strides; far arguments, edges, errors.
#include "ops/activation.h"

#include <doctest/doctest.h>

#include "engine/autograd/backward.h"
#include "ops/elementary.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double clipped(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

struct Activation {
  std::string name;
  Tensor (*function)(const Tensor& x);
  double (*reference)(double x);
};
using T = const Tensor&;

const Activation kActivations[] = {
    {"relu", [](T x) { return relu(x); }, [](double x) { return x > 0 ? x : 0; }},
    {"leaky_relu", [](T x) { return leaky_relu(x, 0.2); }, [](double x) { return x > 0 ? x : 0.2 * x; }},
    {"elu", [](T x) { return elu(x, 1.5); }, [](double x) { return x > 0 ? x : 1.5 * (std::exp(x) - 1); }},
    {"relu6", [](T x) { return relu6(x); }, [](double x) { return clipped(x, 0, 6); }},
    {"gelu", [](T x) { return gelu(x); }, [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2)); }},
    {"gelu tanh", [](T x) { return gelu(x, GeluForm::tanh); },
     [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
    {"silu", [](T x) { return silu(x); }, [](double x) { return x * logistic(x); }},
    {"mish", [](T x) { return mish(x); }, [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); }},
    {"softplus", [](T x) { return softplus(x); }, [](double x) { return std::log(1 + std::exp(x)); }},
    {"softplus beta", [](T x) { return softplus(x, 2, 5); }, [](double x) { return 2 * x > 5 ? x : std::log(1 + std::exp(2 * x)) / 2; }},
    {"logsigmoid", [](T x) { return logsigmoid(x); }, [](double x) { return -std::log(1 + std::exp(-x)); }},
    {"softsign", [](T x) { return softsign(x); }, [](double x) { return x / (1 + std::abs(x)); }},
    {"hardtanh", [](T x) { return hardtanh(x, -2, 1.5); }, [](double x) { return clipped(x, -2, 1.5); }},
    {"hardsigmoid", [](T x) { return hardsigmoid(x); }, [](double x) { return clipped(x + 3, 0, 6) / 6; }},
    {"hardswish", [](T x) { return hardswish(x); }, [](double x) { return x * clipped(x + 3, 0, 6) / 6; }},
    {"selu", [](T x) { return selu(x); },
     [](double x) { return 1.0507009873554804934 * (x > 0 ? x : 1.6732632423543772848 * (std::exp(x) - 1)); }},
    {"celu", [](T x) { return celu(x, 0.5); }, [](double x) { return x > 0 ? x : 0.5 * (std::exp(2 * x) - 1); }},
    {"prelu", [](T x) { return prelu(x, full({1}, 0.25, x.dtype())); }, [](double x) { return x > 0 ? x : 0.25 * x; }},
    {"softshrink", [](T x) { return softshrink(x, 0.7); }, [](double x) { return x > 0.7    ? x - 0.7
                                                                                 : x < -0.7 ? x + 0.7
                                                                                            : 0; }},
    {"hardshrink", [](T x) { return hardshrink(x, 0.7); }, [](double x) { return std::abs(x) > 0.7 ? x : 0; }},
    {"tanhshrink", [](T x) { return tanhshrink(x); }, [](double x) { return x - std::tanh(x); }},
    {"logit", [](T x) { return logit(sigmoid(x)); }, [](double x) { return x; }},
};

double epsilon(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == bf16 ? 0x1p-7 : 0x1p-10; }

}  // namespace

TEST_CASE("tanhshrink, logit: 16-bit results have all their digits where two close numbers are subtracted") {
  for (DType t : {bf16, f16}) {
    const double unit = t == bf16 ? 0x1p-8 : 0x1p-11;
    for (double v : {0.109375, -0.25, 0.5, -0.984375}) {
      double x = std::abs(v), shrunk = v - std::tanh(v), odds = std::log(x / (1 - x));
      CHECK(std::abs(tanhshrink(full({}, v, t)).item() - shrunk) <= 1.01 * unit * std::abs(shrunk) + 1e-7);
      CHECK(std::abs(logit(full({}, x, t)).item() - odds) <= 1.01 * unit * std::abs(odds) + 1e-6);
    }
  }
}

TEST_CASE("activations: values in every type, for any strides") {
  for (const Activation& f : kActivations)
    for (DType t : {f64, f32, bf16, f16})
      for (const Tensor& x : layouts(uniform({9, 40}, 3, -4, 4, t))) {
        if (t != f64 && f.name == "logit" && t != f32) continue;  // 1 − σ(4) keeps few of 8 or 11 bits
        Tensor y = f.function(x);
        CHECK(y.dtype() == t);
        Reference expected(x);
        for (double& v : expected.values) v = f.reference(v);
        double allowed = (f.name == "logit" ? 200 : 8) * epsilon(t);
        CHECK_MESSAGE(error(y, expected) <= allowed, f.name << " in " << name(t) << ": " << error(y, expected) / epsilon(t) << " epsilon");
      }
}

TEST_CASE("activations: integers count as f32, nothing gives nothing, NaN stays") {
  for (const Activation& f : kActivations) {
    INFO(f.name);
    CHECK(f.function(zeros({2, 0})).shape() == Shape{2, 0});
    CHECK(std::isnan(f.function(full({1}, NAN, f32)).item()));
  }
  CHECK(gelu(tensor({1, 2})).dtype() == f32);
  CHECK(relu(tensor({-1, 2})).dtype() == i64);
}

TEST_CASE("activations: far arguments neither overflow nor lose their gradient") {
  for (DType t : {f64, f32}) {
    for (double far : {-1e4, -200.0, -90.0, 90.0, 200.0, 1e4})
      for (const Activation& f : kActivations) {
        if (f.name == "logit") continue;
        for (bool graph : {false, true}) {
          Tensor x = full({1}, far, t).requires_grad_();
          Tensor y = f.function(x), dx = grad({y}, {x}, {.create_graph = graph})[0];
          CHECK_MESSAGE(std::isfinite(y.item()), f.name << " at " << far);
          CHECK_MESSAGE(std::isfinite(dx.item()), f.name << "'s slope at " << far);
        }
      }
    CHECK(logsigmoid(full({}, -1e4, t)).item() == -1e4);
    CHECK(softplus(full({}, 1e4, t)).item() == 1e4);
    CHECK(silu(full({}, -1e4, t)).item() == 0);
  }
}

TEST_CASE("activations: prelu's slopes by channel, glu's halves, logit's edges, errors") {
  Tensor x = tensor({{{-1.0, 2.0}, {-4.0, -8.0}}}, f64);
  CHECK(to_vector(prelu(x, tensor({0.5, 0.25}, f64))) == std::vector<double>{-0.5, 2, -1, -2});
  CHECK_THROWS_WITH_AS(prelu(x, ones({3}, f64)), "prelu: the weight [3] is neither one number nor one for each channel of x [1, 2, 2]",
                       ShapeError);
  CHECK_THROWS_AS(prelu(zeros({2}), ones({2})), ShapeError);
  Tensor g = glu(tensor({{1.0, 2.0, 0.0, -std::log(3.0)}}, f64));
  CHECK(to_vector(g)[0] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(to_vector(g)[1] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(glu(zeros({4, 3}), 0).shape() == Shape{2, 3});
  CHECK_THROWS_WITH_AS(glu(zeros({2, 3})), "glu: dimension 1 of [2, 3] cannot be halved", ShapeError);
  CHECK(logit(tensor({0.0, 1.0}, f64), 0.25).shape() == Shape{2});
  CHECK(to_vector(logit(tensor({0.0, 1.0}, f64), 0.25))[1] == doctest::Approx(std::log(3)).epsilon(1e-15));
  CHECK(to_vector(logit(tensor({0.0, 1.0}, f64))) == std::vector<double>{-INFINITY, INFINITY});
  CHECK_THROWS_WITH_AS(celu(x, 0), "celu: alpha is 0", ValueError);
  CHECK_THROWS_AS(softshrink(x, -1), ValueError);
}
