// Modules: names, order, copies, moves, ties, containers, state.
#include "models/nn/module.h"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <thread>

#include "engine/autograd/grad_mode.h"
#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "ops/activation.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

using namespace plumb;

namespace {

struct Mlp : nn::Module {
  nn::Linear up{this, "up", 5, 4};
  nn::Linear down{this, "down", 4, 3};
  Tensor operator()(const Tensor& x) const { return down(gelu(up(x))); }
};

// Two names, one tensor; a buffer; a plain tensor; a scalar parameter of its own, declared last.
struct Tied : nn::Module {
  explicit Tied(int64_t width = 3) : read{this, "read", width, width, {.bias = false}}, write{this, "write", width, width} {
    write.weight = read.weight;
  }
  Tied(nn::Module* parent, std::string name, int64_t width) : Tied(width) { join(parent, std::move(name)); }
  nn::Linear read, write;
  nn::Buffer steps{this, "steps", zeros({}, i64)};
  nn::Buffer cache{this, "cache", ones({2}), /*saved=*/false};
  nn::Parameter scale{this, "scale", ones({})};
  Tensor shared = ones({2});
  Tensor operator()(const Tensor& x) const { return write(read(x)) * scale; }
};

struct Deep : nn::Module {
  explicit Deep(int depth = 3) {
    for (int i = 0; i < depth; ++i) blocks.emplace_back(3);
    head.weight = blocks[0].read.weight;  // a tie across the list
  }
  nn::ModuleList<Tied> blocks{this, "blocks"};
  nn::Linear head{this, "head", 3, 3};
  nn::Sequential tail{this, "tail", nn::Linear(3, 2), relu, nn::Linear(2, 1)};
  Tensor operator()(const Tensor& x) const {
    Tensor y = x;
    for (const Tied& block : blocks) y = block(y);
    return tail(head(y));
  }
};

std::vector<std::string> names(const std::vector<nn::NamedTensor>& named) {
  std::vector<std::string> out;
  for (const auto& n : named) out.push_back(n.name);
  return out;
}
using Names = std::vector<std::string>;

bool share_elements(const Tensor& a, const Tensor& b) { return a.raw_data() == b.raw_data(); }
void scribble(const nn::Module& m, double value) {
  for (Tensor p : m.parameters()) copy_data(full(p.shape(), value), p);
  for (Tensor p : m.buffers()) copy_data(full(p.shape(), value), p);
}
bool all_equal(const Tensor& t, double value) {
  for (double v : to_vector(t))
    if (v != value) return false;
  return true;
}
// No tensor of the two is the same or shares elements.
void check_independent(const nn::Module& a, const nn::Module& b) {
  auto x = a.named_parameters(), y = b.named_parameters();
  REQUIRE(names(x) == names(y));
  for (size_t i = 0; i < x.size(); ++i) {
    CHECK_FALSE(share_elements(x[i].tensor, y[i].tensor));
    CHECK(to_vector(x[i].tensor) == to_vector(y[i].tensor));
    CHECK(x[i].tensor.requires_grad() == y[i].tensor.requires_grad());
  }
  auto p = a.buffers(), q = b.buffers();
  REQUIRE(p.size() == q.size());
  for (size_t i = 0; i < p.size(); ++i) CHECK_FALSE(share_elements(p[i], q[i]));
}

}  // namespace

TEST_CASE("module: names are dotted, in order of declaration, a module's own before its children's") {
  CHECK(names(Mlp().named_parameters()) == Names{"up.weight", "up.bias", "down.weight", "down.bias"});
  CHECK(names(Tied().named_parameters()) == Names{"scale", "read.weight", "write.weight", "write.bias"});
  CHECK(names(Tied().named_buffers()) == Names{"steps", "cache"});
  CHECK(names(Deep(2).named_parameters()) == Names{"blocks.0.scale", "blocks.0.read.weight", "blocks.0.write.weight", "blocks.0.write.bias",
                                                   "blocks.1.scale", "blocks.1.read.weight", "blocks.1.write.weight", "blocks.1.write.bias",
                                                   "head.weight", "head.bias", "tail.0.weight", "tail.0.bias", "tail.2.weight",
                                                   "tail.2.bias"});
}

TEST_CASE("module: parameters are distinct tensors that require gradients; ties are counted once") {
  Tied tied;
  CHECK(tied.parameters().size() == 3);
  CHECK(tied.num_parameters() == 1 + 9 + 3);
  for (const Tensor& p : tied.parameters()) CHECK(p.requires_grad());
  for (const Tensor& b : tied.buffers()) CHECK_FALSE(b.requires_grad());
  CHECK(tied.write.weight.same_as(tied.read.weight));
}

TEST_CASE("module: an optional part left out has no name") {
  nn::Linear plain(2, 3, {.bias = false});
  CHECK(names(plain.named_parameters()) == Names{"weight"});
  CHECK(plain(ones({4, 2})).shape() == Shape{4, 3});
}

TEST_CASE("module: a copy is independent: training it leaves the original alone") {
  Mlp student;
  Mlp teacher = student;
  check_independent(student, teacher);
  Tensor x = ones({2, 5});
  std::vector<double> before = to_vector(teacher(x));
  CHECK(before == to_vector(student(x)));
  sum(student(x)).backward();
  CHECK(student.up.weight.grad().defined());
  CHECK_FALSE(teacher.up.weight.grad().defined());
  scribble(student, 0.5);
  CHECK(to_vector(teacher(x)) == before);
}

TEST_CASE("module: a copy keeps ties, also across lists, and shares plain tensors only") {
  Deep model;
  Deep copy = model;
  check_independent(model, copy);
  CHECK(copy.head.weight.same_as(copy.blocks[0].read.weight));
  CHECK(copy.head.weight.same_as(copy.blocks[0].write.weight));
  CHECK(copy.blocks[1].read.weight.same_as(copy.blocks[1].write.weight));
  CHECK_FALSE(copy.blocks[1].read.weight.same_as(copy.blocks[0].read.weight));
  CHECK(copy.parameters().size() == model.parameters().size());
  CHECK(share_elements(copy.blocks[2].shared, model.blocks[2].shared));
  Tensor x = ones({2, 3});
  CHECK(to_vector(copy(x)) == to_vector(model(x)));
}

TEST_CASE("module: a child copied alone is independent of the model it came from") {
  Deep model;
  nn::Linear head = model.head;
  CHECK_FALSE(share_elements(head.weight, model.head.weight));
  Tied block = model.blocks[1];
  check_independent(block, model.blocks[1]);
  CHECK(block.read.weight.same_as(block.write.weight));
  nn::Sequential tail(model.tail);
  check_independent(tail, model.tail);
}

TEST_CASE("module: a parameter copied alone is a handle to the same tensor") {
  Mlp model;
  auto handle = model.up.weight;
  CHECK(handle.same_as(model.up.weight));
  Tensor tensor = model.up.weight;
  CHECK(tensor.same_as(model.up.weight));
}

TEST_CASE("module: assignment replaces the target by an independent copy") {
  Deep a(2), b(3);
  a = b;
  check_independent(a, b);
  CHECK(a.blocks.size() == 3);
  CHECK(a.head.weight.same_as(a.blocks[0].read.weight));
  scribble(b, 2);
  CHECK_FALSE(all_equal(a.head.weight, 2));
  Deep& self = a;
  Tensor weight = a.head.weight;
  a = self;
  CHECK(a.head.weight.same_as(weight));
  CHECK(a.parameters().size() == b.parameters().size());
}

TEST_CASE("module: modules live in a vector and move without losing or copying their tensors") {
  std::vector<Deep> models;
  std::vector<Tensor> weights;
  for (int i = 0; i < 9; ++i) {
    models.emplace_back(2);
    weights.push_back(models.back().head.weight);
  }
  for (size_t i = 0; i < models.size(); ++i) {
    CHECK(models[i].head.weight.same_as(weights[i]));
    CHECK(models[i].blocks[0].write.weight.same_as(weights[i]));
    CHECK(models[i].named_parameters().size() == 14);
    CHECK(models[i].parameters()[1].same_as(weights[i]));
  }
  std::swap(models[0], models[1]);
  CHECK(models[0].parameters()[1].same_as(weights[1]));
  Deep taken = std::move(models[2]);
  CHECK(taken.parameters()[1].same_as(weights[2]));
  std::vector<Deep> copies = models;
  check_independent(copies[3], models[3]);
}

TEST_CASE("module: copies may be made on several threads at once") {
  Deep model(4);
  std::vector<std::thread> threads;
  std::array<bool, 4> fine{};
  for (size_t t = 0; t < fine.size(); ++t)
    threads.emplace_back([&, t] {
      bool ok = true;
      for (int i = 0; i < 50; ++i) {
        Deep copy = model;
        ok &= copy.head.weight.same_as(copy.blocks[0].write.weight) && !share_elements(copy.head.weight, model.head.weight) &&
              copy.parameters().size() == 17;
      }
      fine[t] = ok;
    });
  for (auto& thread : threads) thread.join();
  for (bool ok : fine) CHECK(ok);
}

TEST_CASE("module: members in arrays and optionals are copied with the rest") {
  struct Odd : nn::Module {
    std::array<nn::Linear, 2> pair{nn::Linear(2, 2), nn::Linear(2, 2)};
    std::optional<nn::Linear> skip;
    Odd() {
      register_module("first", pair[0]);
      register_module("second", pair[1]);
      skip.emplace(this, "skip", 2, 2);
    }
  };
  Odd a, b = a;
  check_independent(a, b);
  CHECK(names(b.named_parameters()).size() == 6);
}

TEST_CASE("module: a copy that lost some of its members says so instead of reaching into nothing") {
  struct Wider : Mlp {
    nn::Linear extra{this, "extra", 2, 2};
  };
  Wider wide;
  Mlp cut = wide;
  CHECK_THROWS_AS(cut.parameters(), ValueError);
  CHECK_THROWS_AS(Mlp(cut).parameters(), ValueError);
  CHECK(Mlp().parameters().size() == 4);
  cut = Mlp();
  CHECK(cut.parameters().size() == 4);
}

TEST_CASE("module: names must be new, non-empty and without dots") {
  struct Twice : nn::Module {
    nn::Linear a{this, "a", 1, 1};
    nn::Linear b{this, "a", 1, 1};
  };
  struct Dotted : nn::Module {
    nn::Linear a{this, "a.b", 1, 1};
  };
  CHECK_THROWS_WITH_AS(Twice(), "module: \"a\" is registered already", ValueError);
  CHECK_THROWS_WITH_AS(Dotted(), "module: a name must be non-empty and without dots: \"a.b\"", ValueError);
}

TEST_CASE("module: state holds every name and is what load_state takes") {
  Deep a, b;
  StateDict state = a.state();
  CHECK(state.size() == 18 + 3);
  CHECK(state.contains("blocks.2.steps"));
  CHECK_FALSE(state.contains("blocks.2.cache"));
  CHECK_FALSE(state.at("head.weight").requires_grad());
  Tensor kept = b.head.weight;
  b.load_state(state);
  CHECK(b.head.weight.same_as(kept));  // loaded in place: optimisers go on
  check_independent(a, b);
}

TEST_CASE("module: load_state converts types and needs one name of a tie") {
  Mlp a, b;
  StateDict state;
  for (const auto& [name, t] : a.state()) {
    Tensor wide = empty(t.shape(), f64);
    copy_data(t, wide);
    state[name] = wide;
  }
  b.load_state(state);
  CHECK(to_vector(a.down.weight) == to_vector(b.down.weight));
  Tied tied;
  StateDict one = Tied().state();
  one.erase("write.weight");
  CHECK_NOTHROW(tied.load_state(one));
  CHECK(to_vector(tied.write.weight) == to_vector(one.at("read.weight")));
}

TEST_CASE("module: load_state names what does not fit and loads nothing") {
  Mlp model;
  scribble(model, 1);
  auto untouched = [&] {
    for (const Tensor& p : model.parameters())
      if (!all_equal(p, 1)) return false;
    return true;
  };
  StateDict state = Mlp().state();
  state["up.weight"] = zeros({5, 4});
  CHECK_THROWS_WITH_AS(model.load_state(state), "load_state: \"up.weight\" is [5, 4] in the state, [4, 5] in the module", ShapeError);
  CHECK_THROWS_AS(model.load_state(state, false), ShapeError);
  state = Mlp().state();
  state.erase("down.bias");
  CHECK_THROWS_WITH_AS(model.load_state(state), "load_state: the state lacks \"down.bias\"", ValueError);
  state = Mlp().state();
  state["side.weight"] = zeros({1});
  CHECK_THROWS_WITH_AS(model.load_state(state), "load_state: the module has no \"side.weight\"", ValueError);
  CHECK(untouched());
  state.erase("down.bias");
  nn::LoadReport report = model.load_state(state, /*strict=*/false);
  CHECK(report.missing == Names{"down.bias"});
  CHECK(report.unexpected == Names{"side.weight"});
  CHECK(all_equal(model.down.bias, 1));
  CHECK_FALSE(untouched());
  Tied tied;
  StateDict two = tied.state();
  two["write.weight"] = zeros({3, 3});
  CHECK_THROWS_WITH_AS(tied.load_state(two),
                       "load_state: \"read.weight\" and \"write.weight\" are one tensor in the module, but differ in the state",
                       ValueError);
}

TEST_CASE("module: modes and requires_grad reach everything below") {
  Deep model;
  model.eval();
  for (auto& [name, m] : model.named_modules()) CHECK_FALSE(m->training());
  Deep copy = model;
  CHECK_FALSE(copy.blocks[1].read.training());
  model.train();
  for (auto& [name, m] : model.named_modules()) CHECK(m->training());
  model.requires_grad_(false);
  Deep frozen = model;
  for (const Tensor& p : frozen.parameters()) CHECK_FALSE(p.requires_grad());
}

TEST_CASE("module: apply visits every module once, children first") {
  Deep model(1);
  std::vector<nn::Module*> order;
  model.apply([&](nn::Module& m) { order.push_back(&m); });
  REQUIRE(order.size() == model.named_modules().size());
  CHECK(order.back() == &model);
  CHECK(order.front() == &model.blocks[0].read);
  int linears = 0;
  for (nn::Module* m : order) linears += dynamic_cast<nn::Linear*>(m) != nullptr;
  CHECK(linears == 5);
}

TEST_CASE("module: changing the type keeps ties and leaves integers alone") {
  Deep model;
  model.to(bf16);
  for (const Tensor& p : model.parameters()) {
    CHECK(p.dtype() == bf16);
    CHECK(p.requires_grad());
    CHECK(p.is_leaf());
  }
  CHECK(model.blocks[0].steps.dtype() == i64);
  CHECK(model.head.weight.same_as(model.blocks[0].write.weight));
  CHECK_THROWS_WITH_AS(model.to(i64), "module: parameters are floating, not i64", DTypeError);
}

TEST_CASE("containers: Sequential applies its steps in order and gives them back by type") {
  nn::Sequential net(nn::Linear(2, 3), relu, nn::Linear(3, 1));
  Tensor x = ones({4, 2});
  CHECK(to_vector(net(x)) == to_vector(net.at<nn::Linear>(2)(relu(net.at<nn::Linear>(0)(x)))));
  CHECK(net.size() == 3);
  CHECK_THROWS_WITH_AS(net.at<nn::Linear>(3), "sequential: step 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(net.at<nn::Linear>(1), "sequential: step 1 is not of the type asked for", ValueError);
  nn::Sequential copy(net);
  check_independent(net, copy);
  nn::Sequential nested(copy, relu);
  CHECK(names(nested.named_parameters()) == Names{"0.0.weight", "0.0.bias", "0.2.weight", "0.2.bias"});
}

TEST_CASE("module: a released parameter is no part of the module any more, nor of its copies") {
  Mlp model;
  Tensor weight = model.up.weight, released = model.up.release_parameter(model.up.weight);
  CHECK(released.same_as(weight));
  CHECK(names(model.named_parameters()) == Names{"up.bias", "down.weight", "down.bias"});
  model.up.weight = weight * 2.0;
  Mlp copy = model;
  CHECK(names(copy.named_parameters()) == Names{"up.bias", "down.weight", "down.bias"});
  CHECK(copy.up.weight.same_as(model.up.weight));  // a plain tensor now
  CHECK_THROWS_WITH_AS(model.up.release_parameter(model.up.weight), "module: the parameter to release is not registered with it",
                       ValueError);
}
