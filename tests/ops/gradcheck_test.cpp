// gradcheck and gradgradcheck: that they pass what is right, and name what is wrong.
#include "ops/gradcheck.h"

#include <doctest/doctest.h>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

// x² whose first derivative is scaled, and whose formula under create_graph is scaled.
Tensor square_with(const Tensor& x, double fused_scale, double formula_scale) {
  Tensor y = x.detach() * x.detach();
  return record("square_with", y, {x}, saving(x), [=](const Grads& dy, const Saved& s, Needs) -> Grads {
    return dy[0] * s[0] * (2 * (grad_enabled() ? formula_scale : fused_scale));
  });
}

const Tensor kX = tensor({{0.5, -1.25}, {2.0, 0.75}}, f64);

}  // namespace

TEST_CASE("gradcheck: passes right derivatives with a small error") {
  auto result = gradcheck([](const Tensor& x) { return square_with(x, 1, 1); }, {kX});
  CHECK(result.passed);
  CHECK(result.message.empty());
  CHECK(result.worst_error < 1e-8);
  result.throw_if_failed();
}

TEST_CASE("gradcheck: a wrong derivative fails, and the message names input, element and both values") {
  TensorFunction wrong = [](const Tensor& a, const Tensor& x) { return a + square_with(x, 1.5, 1.5); };
  auto result = gradcheck(wrong, {kX, clone(kX)});
  CHECK_FALSE(result.passed);
  CHECK(result.message.find("gradcheck: input 1 of shape [2, 2], element 0: the gradient is ") == 0);
  CHECK(result.worst_error > 0.01);
  CHECK_THROWS_WITH_AS(result.throw_if_failed(), result.message.c_str(), AutogradError);
}

TEST_CASE("gradcheck: a derivative of one element out of many is found") {
  TensorFunction f = [](const Tensor& x) {
    return record("almost", x.detach() * 3.0, {x}, saving(), [](const Grads& dy, const Saved&, Needs) -> Grads {
      Tensor g = dy[0] * 3.0;
      Tensor last = select(select(g, 0, 1), 0, 1);
      mul_(last, 1.001);
      return g;
    });
  };
  CHECK(gradcheck(f, {kX}).message.find("element 3") != std::string::npos);
}

TEST_CASE("gradcheck: looks at every output, and at none that is integer") {
  TensorFunction f = [](const Tensor& x) { return std::vector<Tensor>{x * 2.0, to(x > 0, i64), square_with(x, 0.9, 0.9)}; };
  CHECK_FALSE(gradcheck(f, {kX}).passed);
  TensorFunction good = [](const Tensor& x) { return std::vector<Tensor>{x * 2.0, to(x > 0, i64)}; };
  CHECK(gradcheck(good, {kX}).passed);
}

TEST_CASE("gradcheck: an output that is cut off from its input has the gradient zero, which is wrong if it depends on it") {
  CHECK_FALSE(gradcheck([](const Tensor& x) { return x.detach() * 2.0; }, {kX}).passed);
  CHECK(gradcheck([](const Tensor& x) { return sign(x); }, {kX}).passed);
}

TEST_CASE("gradcheck: keeps strides and leaves the inputs as they were") {
  Tensor x = mT(kX.detach());
  TensorFunction f = [](const Tensor& t) {
    CHECK_FALSE(t.is_contiguous());
    return exp(t);
  };
  auto before = to_vector(x);
  CHECK(gradcheck(f, {x}).passed);
  CHECK(to_vector(x) == before);
  CHECK_THROWS_AS(gradcheck([](const Tensor&) -> Tensor { throw ValueError("no"); }, {x}), ValueError);
  CHECK(to_vector(x) == before);
}

TEST_CASE("gradcheck: refuses inputs that differences cannot work with") {
  TensorFunction f = [](const Tensor& x) { return x * 2.0; };
  CHECK_THROWS_WITH_AS(gradcheck(f, {tensor({1.0})}), "gradcheck: input 0 is f32; differences need f64", DTypeError);
  CHECK_THROWS_WITH_AS(gradcheck(f, {tensor({1})}), "gradcheck: there is no floating input to take a derivative in", ValueError);
  CHECK_THROWS_WITH_AS(gradcheck(f, {expand(tensor({1.0}, f64), {3})}),
                       "gradcheck: elements of input 0 overlap (an expanded tensor); clone it first", ValueError);
  CHECK_THROWS_WITH_AS(gradcheck(f, {kX, select(kX, 0, 0)}), "gradcheck: inputs 0 and 1 share memory; clone one of them", ValueError);
  CHECK_THROWS_WITH_AS(gradcheck(f, {kX, clone(kX)}), "function: takes 1 tensors, got 2", ValueError);
}

TEST_CASE("gradgradcheck: a formula that differs from its fused kernel fails, a right one passes") {
  CHECK(gradgradcheck([](const Tensor& x) { return square_with(x, 1, 1); }, {kX}).passed);
  TensorFunction wrong_formula = [](const Tensor& x) { return square_with(x, 1, 1.1); };
  CHECK(gradcheck(wrong_formula, {kX}).passed);
  CHECK_FALSE(gradgradcheck(wrong_formula, {kX}).passed);
}

TEST_CASE("gradgradcheck: a derivative computed outside the graph fails") {
  TensorFunction f = [](const Tensor& x) {
    return record("once", exp(x.detach()), {x}, saving(x),
                  [](const Grads& dy, const Saved& s, Needs) -> Grads { return dy[0] * exp(s[0].detach()); });
  };
  CHECK(gradcheck(f, {kX}).passed);
  auto result = gradgradcheck(f, {kX});
  CHECK_FALSE(result.passed);
  CHECK(result.message.find("gradgradcheck: input 0") == 0);
}
