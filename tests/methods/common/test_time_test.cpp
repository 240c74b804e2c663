// Entropy of predictions, and the parameters that test-time adaptation moves.
#include "methods/common/test_time.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "ops/gradcheck.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;
using Numbers = std::vector<double>;
using doctest::Approx;

TEST_CASE("softmax_entropy: known values, and no NaN where a class is certain") {
  Numbers h = to_vector(softmax_entropy(tensor({{2.0, 0.0, -1.0}, {0.2, 0.1, 0.0}, {0.0, 3.0, 0.0}, {0.0, 4.0, 1.0}}, f64)));
  Numbers expected{0.524267, 1.095287, 0.366594, 0.274313};
  for (size_t i = 0; i < 4; ++i) CHECK(h[i] == Approx(expected[i]).epsilon(2e-6));
  for (int64_t classes : {2, 3, 10})
    CHECK(softmax_entropy(full({classes}, 0.7, f64)).item() == Approx(std::log(static_cast<double>(classes))));
  for (DType type : {f64, f32}) CHECK(softmax_entropy(tensor({1000.0, 0.0, 0.0}, type)).item() == 0);
  CHECK(tent_loss(tensor({{2.0, 0.0, -1.0}, {0.0, 3.0, 0.0}}, f64)).item() == Approx((0.524267 + 0.366594) / 2).epsilon(2e-6));
  CHECK_THROWS_WITH_AS(softmax_entropy(zeros({4, 1})), "softmax_entropy: [4, 1] has fewer than two classes", ValueError);
}

TEST_CASE("softmax_entropy: dH/dz_j = −p_j (log p_j + H), and it can be differentiated again") {
  Tensor z = tensor({0.3, -1.2, 2.0, 0.1}, f64).requires_grad_();
  Tensor h = softmax_entropy(z);
  h.backward();
  Numbers p = to_vector(softmax(z.detach(), 0)), g = to_vector(z.grad());
  for (size_t j = 0; j < 4; ++j) CHECK(g[j] == Approx(-p[j] * (std::log(p[j]) + h.item())));
  CHECK(gradcheck([](const Tensor& x) { return softmax_entropy(x); }, {tensor({{0.3, -1.2}, {2.0, 0.1}}, f64)}).passed);
  CHECK(gradgradcheck([](const Tensor& x) { return tent_loss(x); }, {tensor({{0.3, -1.2}, {2.0, 0.1}}, f64)}).passed);
}

TEST_CASE("batch_norm_parameters: scales and shifts of all batch-norm layers, and of nothing else") {
  nn::Sequential net{nn::Linear(4, 3), nn::BatchNorm(3), nn::LayerNorm(Shape{3}), nn::Linear(3, 3), nn::BatchNorm(3, {.affine = false}),
                     nn::BatchNorm(3)};
  std::vector<nn::NamedTensor> found = batch_norm_parameters(net);
  REQUIRE(found.size() == 4);
  CHECK(found[0].name == "1.weight");
  CHECK(found[3].name == "5.bias");
  CHECK(found[0].tensor.same_as(net.at<nn::BatchNorm>(1).weight));
  train_only(net, found);
  CHECK(net.at<nn::BatchNorm>(1).bias.requires_grad());
  CHECK_FALSE(net.at<nn::Linear>(0).weight.requires_grad());
  CHECK_FALSE(net.at<nn::LayerNorm>(2).weight.requires_grad());
  nn::Sequential without{nn::Linear(4, 3)};
  CHECK_THROWS_WITH_AS(batch_norm_parameters(without, "tent"), "tent: the model has no batch-norm layer with a scale and a shift to adapt",
                       ValueError);
}
