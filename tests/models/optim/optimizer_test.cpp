// The base of all optimisers: missing gradients, growing, transforms, hooks, saving and loading.
#include "models/optim/optimizer.h"

#include <limits>

#include "engine/core/parallel.h"
#include "models/optim/adam.h"
#include "ops/shape.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

static bool all_equal(const Tensor& t, double value) {
  for (double v : to_vector(t))
    if (v != value) return false;
  return true;
}

TEST_CASE("optimizer: a parameter without a gradient is left alone, weight decay and state included") {
  Tensor a = ones({3}, f64).requires_grad_(), b = ones({3}, f64).requires_grad_();
  optim::AdamW adamw({a, b}, {.lr = 0.1, .weight_decay = 0.5});
  a.set_grad(ones({3}, f64));
  adamw.step();
  adamw.step();
  CHECK(all_equal(b, 1));
  CHECK_FALSE(all_equal(a, 1));
  CHECK(adamw.state().scalars.at("0.steps") == 2);
  CHECK(adamw.state().scalars.at("1.steps") == 0);
  CHECK_FALSE(adamw.state().tensors.contains("1.exp_avg"));
  adamw.zero_grad();
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("optimizer: updates do not depend on the number of threads") {
  int before = num_threads();
  std::vector<std::vector<double>> results;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    auto p = some_parameters(f32);
    optim::AdamW adamw(p, {});
    for (int t = 0; t < 3; ++t) {
      set_waving_gradients(p, t);
      adamw.step();
    }
    results.push_back(to_vector(optim::flatten(p)));
  }
  set_num_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("optimizer: empty tensors, expanded and f32 gradients of 16-bit parameters are taken") {
  Tensor none = empty({0, 3}).requires_grad_(), wide = ones({2, 2}).requires_grad_(), narrow = ones({3}, bf16).requires_grad_();
  optim::AdamW adamw({none, wide, narrow}, {.lr = 0.1, .weight_decay = 0});
  none.set_grad(empty({0, 3}));
  wide.set_grad(broadcast_view("test", ones({1}), {2, 2}));
  narrow.set_grad(ones({3}, bf16));
  adamw.add_transform([](const std::vector<Tensor>&, std::vector<Tensor>& gradients) { gradients[2] = ones({3}); });  // f32
  adamw.step();
  for (double v : to_vector(wide)) CHECK(v == doctest::Approx(0.9));
  for (double v : to_vector(narrow)) CHECK(v == doctest::Approx(0.9).epsilon(4e-3));
}

TEST_CASE("optimizer: writing a parameter counts as a write in place") {
  Tensor p = ones({3}).requires_grad_();
  optim::AdamW adamw({p}, {});
  uint32_t version = p.version();
  p.set_grad(ones({3}));
  adamw.step();
  CHECK(p.version() > version);
}

TEST_CASE("optimizer: parameters join later, and an enlarged one keeps what its old part has learnt") {
  Tensor small = ones({2, 3}, f64).requires_grad_(), late = ones({1}, f64).requires_grad_();
  optim::AdamW adamw({small}, {.lr = 0.1, .weight_decay = 0});
  small.set_grad(ones({2, 3}, f64));
  adamw.step();
  adamw.add_parameter(late);
  Tensor large = zeros({4, 3}, f64);
  Tensor corner = view_of(large, {2, 3}, {3, 1}, 0);
  copy_data(small, corner);
  large.requires_grad_();
  adamw.replace_parameter(small, large);
  optim::OptimizerState state = adamw.state();
  std::vector<double> moments = to_vector(state.tensors.at("0.exp_avg"));
  for (size_t i = 0; i < 12; ++i) CHECK(moments[i] == doctest::Approx(i < 6 ? 0.1 : 0.0));
  large.set_grad(ones({4, 3}, f64));
  late.set_grad(ones({1}, f64));
  adamw.step();
  CHECK(late.item() == doctest::Approx(0.9));
  CHECK_THROWS_WITH_AS(adamw.add_parameter(late), "optimizer: a parameter of shape [1] is given twice", ValueError);
  CHECK_THROWS_WITH_AS(adamw.add_parameter(ones({1}), 3), "optimizer: there is no group 3", ValueError);
  CHECK_THROWS_WITH_AS(adamw.replace_parameter(large, ones({3, 3}, f64)), "optimizer: a parameter [4, 3] cannot grow to [3, 3]",
                       ShapeError);
  CHECK_THROWS_AS(adamw.replace_parameter(small, large), ValueError);
}

TEST_CASE("optimizer: transforms run in order, see all gradients, and may take one away") {
  Tensor a = ones({2}, f64).requires_grad_(), b = ones({2}, f64).requires_grad_(), c = ones({2}, f64).requires_grad_();
  optim::AdamW adamw({a, b, c}, {.lr = 0.1, .weight_decay = 0});
  std::vector<int> order;
  adamw.add_transform([&](const std::vector<Tensor>& parameters, std::vector<Tensor>& gradients) {
    order.push_back(1);
    REQUIRE(parameters.size() == 2);
    CHECK(parameters[1].same_as(c));
    gradients[0] = neg(gradients[0]);
  });
  adamw.add_transform([&](const std::vector<Tensor>&, std::vector<Tensor>& gradients) {
    order.push_back(2);
    CHECK(all_equal(gradients[0], -1));
    gradients[1] = {};
  });
  a.set_grad(ones({2}, f64));
  c.set_grad(ones({2}, f64));
  adamw.step();
  CHECK(order == std::vector<int>{1, 2});
  CHECK(to_vector(a)[0] == doctest::Approx(1.1));
  CHECK(all_equal(b, 1));
  CHECK(all_equal(c, 1));
  CHECK(adamw.state().scalars.at("2.steps") == 0);
}

TEST_CASE("optimizer: hooks see the value before and after, and what they write is the parameter") {
  for (DType type : {f64, bf16}) {
    Tensor p = ones({2}, type).requires_grad_();
    optim::AdamW adamw({p}, {.lr = 0.25, .weight_decay = 0});
    adamw.set_lr_scale(0.5);
    adamw.add_hook({[&](optim::Update& u) {
                      CHECK(u.parameter.same_as(p));
                      CHECK(u.lr == 0.125);
                      CHECK(all_equal(u.before, 1));
                      CHECK(to_vector(u.value)[0] == doctest::Approx(0.875));
                      copy_data(scalar_tensor(2.0, f64), u.value);
                    },
                    true});
    adamw.add_hook({[&](optim::Update& u) { CHECK_FALSE(u.before.defined()); }});
    p.set_grad(ones({2}, type));
    adamw.step();
    CHECK(all_equal(p, 2));
  }
}

TEST_CASE("optimizer: a state that does not fit is refused whole, naming what") {
  auto make = [](const Shape& shape) {
    Tensor p = ones(shape).requires_grad_();
    p.set_grad(ones(shape));
    return p;
  };
  optim::AdamW from({make({2, 3})}, {.lr = 0.5}), other({make({3, 2})}, {.lr = 0.1}), two({make({2, 3}), make({1})}, {});
  from.step();
  CHECK_THROWS_WITH_AS(other.load_state(from.state()), "optimizer: \"0.exp_avg\" is [2, 3] in the state, its parameter [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(two.load_state(from.state()), "optimizer: the state lacks \"1.steps\"", ValueError);
  CHECK(other.lr() == 0.1);
  two.step();
  CHECK_THROWS_WITH_AS(from.load_state(two.state()), "optimizer: the state has \"1.exp_avg\", which belongs to nothing here", ValueError);
  optim::AdamW same({make({2, 3})}, {.lr = 0.1});
  same.load_state(from.state());
  CHECK(same.lr() == 0.5);
}

TEST_CASE("optimizer: parameters must be floating, defined and given once") {
  Tensor p = ones({1});
  CHECK_THROWS_WITH_AS(optim::AdamW({p, p}, {}), "optimizer: a parameter of shape [1] is given twice", ValueError);
  CHECK_THROWS_WITH_AS(optim::AdamW({Tensor()}, {}), "optimizer: a parameter is undefined", ValueError);
  CHECK_THROWS_WITH_AS(optim::AdamW({ones({1}, i64)}, {}), "optimizer: a parameter is i64", DTypeError);
}

TEST_CASE("optimizer: a 16-bit parameter may grow, its f32 master with it") {
  Tensor small = ones({2, 3}, bf16).requires_grad_(), large = ones({4, 3}, bf16).requires_grad_();
  optim::AdamW adamw({small}, {.lr = 0.25, .weight_decay = 0});
  small.set_grad(ones({2, 3}, bf16));
  adamw.step();
  adamw.replace_parameter(small, large);
  large.set_grad(ones({4, 3}, bf16));
  adamw.step();
  Tensor master = adamw.state().tensors.at("0.master");
  REQUIRE(master.shape() == Shape{4, 3});
  for (double v : to_vector(large)) CHECK(v < 1);
  CHECK(to_vector(to(master, bf16)) == to_vector(large));
}

TEST_CASE("optimizer: a state that is refused leaves the rates as they were") {
  Tensor a = ones({2, 3}).requires_grad_(), b = ones({3, 2}).requires_grad_();
  optim::AdamW from({a}, {.lr = 0.5}), other({b}, {.lr = 0.1});
  a.set_grad(ones({2, 3}));
  from.set_lr_scale(0.25);
  from.step();
  CHECK_THROWS_AS(other.load_state(from.state()), ShapeError);
  CHECK(other.state().scalars.at("lr_scale") == 1);
  CHECK(other.state().scalars.at("group.0.lr") == 0.1);
}
