// Layers between representations.
#include "methods/regularization/soft_equivariance/soft_emlp.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::soft_equivariance {
namespace {

constexpr double kProducts = 0.1;

int64_t power(int64_t base, int exponent) {
  int64_t out = 1;
  for (int i = 0; i < exponent; ++i) out *= base;
  return out;
}

int64_t gates_of(const Representation& r) {
  int64_t gates = 0;
  for (const auto& part : r.parts)
    if (part.rank > 0) gates += part.count;
  return gates;
}

// What a gated block's linear layer computes: its output, then a scalar for every tensor that needs a gate.
Representation with_gates(const Representation& r) {
  int64_t gates = gates_of(r);
  return gates == 0 ? r : r + Representation{{{0, gates}}};
}

std::vector<int64_t> counts_by_rank(const Representation& r) {
  std::vector<int64_t> counts(static_cast<size_t>(r.max_rank() + 1), 0);
  for (const auto& part : r.parts) counts[static_cast<size_t>(part.rank)] += part.count;
  return counts;
}

Tensor half_squared(const Tensor& x) { return sum(square(x)) * 0.5; }

Tensor added(const Tensor& a, const Tensor& b) { return a.defined() ? a + b : b; }

}  // namespace

void SoftEmlpConfig::check() const {
  in.check();
  out.check();
  if (layers < 1 || channels < 1) throw ValueError(fmt::format("soft_emlp: {} layers of {} channels", layers, channels));
  if (dimension < 2) throw ValueError(fmt::format("soft_emlp: the dimension {} is below 2", dimension));
  if (!group && (binding != Binding::none || start != Start::free)) throw ValueError("soft_emlp: this binding or start needs a group");
  if (group && group->group().dimension != dimension)
    throw ValueError(fmt::format("soft_emlp: the group acts on R^{}, the network on R^{}", group->group().dimension, dimension));
}

SoftLinear::SoftLinear(const Representation& in, const Representation& out, const SoftEmlpConfig& c)
    : in_(in), out_(out), binding_(c.binding), group_(c.group) {
  int64_t inputs = in.size(c.dimension), outputs = out.size(c.dimension);
  register_parameter("weight", weight, zeros({outputs, inputs}));
  register_parameter("bias", bias, zeros({outputs}));
  nn::init::orthogonal(weight);
  nn::init::uniform(bias, 0, 1 / std::sqrt(static_cast<double>(outputs)));
  if (c.start != Start::free) {
    NoGrad off;
    double bound = c.start == Start::rpp ? 1 : 0.5, free = c.start == Start::rpp ? 1e-3 : 0.5;
    copy_data(group_->weight(weight, out, in) * bound + weight * free, weight);
    copy_data(group_->bias(bias, out) * bound + bias * free, bias);
  }
  if (binding_ == Binding::residual) {
    register_parameter("free_weight", free_weight, zeros({outputs, inputs}));
    register_parameter("free_bias", free_bias, zeros({outputs}));
  }
}

Tensor SoftLinear::effective_weight() const {
  if (binding_ == Binding::none) return weight;
  Tensor bound = group_->weight(weight, out_, in_);
  return binding_ == Binding::hard ? bound : bound + free_weight;
}

Tensor SoftLinear::effective_bias() const {
  if (binding_ == Binding::none) return bias;
  Tensor bound = group_->bias(bias, out_);
  return binding_ == Binding::hard ? bound : bound + free_bias;
}

Tensor SoftLinear::operator()(const Tensor& x) const { return matmul(x, transpose(effective_weight(), 0, 1)) + effective_bias(); }

TensorProduct::TensorProduct(int a, int b, bool contracted, int64_t left, int64_t right, int64_t out)
    : rank_left(a), rank_right(b), contract(contracted) {
  register_parameter("left_mix", left_mix, zeros({out, left}));
  register_parameter("right_mix", right_mix, zeros({out, right}));
  nn::init::normal(left_mix, 0, 1 / std::sqrt(static_cast<double>(left)));
  nn::init::normal(right_mix, 0, 1 / std::sqrt(static_cast<double>(right)));
}

TensorProducts::TensorProducts(const Representation& representation, int64_t dimension)
    : representation_(representation), dimension_(dimension), products_(this, "products") {
  std::vector<int64_t> counts = counts_by_rank(representation);
  auto count = [&](int rank) { return rank < static_cast<int>(counts.size()) ? counts[static_cast<size_t>(rank)] : 0; };
  auto add = [&](int a, int b, bool contract, int result) {
    if (count(a) > 0 && count(b) > 0 && count(result) > 0) products_.emplace_back(a, b, contract, count(a), count(b), count(result));
  };
  int top = representation.max_rank();
  for (int a = 0; a <= top; ++a)
    for (int b = a; a + b <= top; ++b) add(a, b, false, a + b);
  for (int a = 1; a <= top; ++a)
    for (int b = 1; b <= a; ++b) add(a, b, true, a - b);
}

Tensor TensorProducts::operator()(const Tensor& x) const {
  int64_t n = x.size(0), at = 0;
  size_t ranks = static_cast<size_t>(representation_.max_rank()) + 1;
  std::vector<std::vector<Tensor>> pieces(ranks);  // [n, count, d^rank] by rank
  for (const auto& part : representation_.parts) {
    int64_t size = power(dimension_, part.rank);
    pieces[static_cast<size_t>(part.rank)].push_back(reshape(narrow(x, 1, at, part.count * size), {n, part.count, size}));
    at += part.count * size;
  }
  std::vector<Tensor> tensors(ranks), results(ranks);
  for (size_t r = 0; r < ranks; ++r)
    if (!pieces[r].empty()) tensors[r] = pieces[r].size() == 1 ? pieces[r][0] : cat(pieces[r], 1);
  for (size_t i = 0; i < products_.size(); ++i) {
    const TensorProduct& p = products_[i];
    Tensor left = matmul(p.left_mix, tensors[static_cast<size_t>(p.rank_left)]),
           right = matmul(p.right_mix, tensors[static_cast<size_t>(p.rank_right)]);
    int64_t m = left.size(1), shared = power(dimension_, p.rank_right);
    Tensor product;
    if (p.contract)
      product = sum(reshape(left, {n, m, power(dimension_, p.rank_left - p.rank_right), shared}) * unsqueeze(right, 2), {3});
    else
      product = reshape(unsqueeze(left, 3) * unsqueeze(right, 2), {n, m, left.size(2) * shared});
    auto rank = static_cast<size_t>(p.contract ? p.rank_left - p.rank_right : p.rank_left + p.rank_right);
    results[rank] = added(results[rank], product);
  }
  std::vector<int64_t> used(ranks, 0);
  std::vector<Tensor> out;
  for (const auto& part : representation_.parts) {
    auto r = static_cast<size_t>(part.rank);
    int64_t size = part.count * power(dimension_, part.rank);
    out.push_back(results[r].defined() ? reshape(narrow(results[r], 1, used[r], part.count), {n, size}) : zeros({n, size}, x.dtype()));
    used[r] += part.count;
  }
  return out.size() == 1 ? out[0] : cat(out, 1);
}

GatedLinearBlock::GatedLinearBlock(const Representation& in, const Representation& out, const SoftEmlpConfig& c)
    : linear(in, c.flexible ? out : with_gates(out), c), out_(out), dimension_(c.dimension), flexible_(c.flexible) {
  register_module("linear", linear);
  if (!flexible_ && c.products) {
    products.emplace(linear.out(), dimension_);
    register_module("products", *products);
  }
  if (c.broken) register_parameter("broken", broken, full({out.size(dimension_)}, 1e-3));
}

Tensor GatedLinearBlock::activated(const Tensor& y) const {
  int64_t n = y.size(0), size = out_.size(dimension_), at = 0, gate = size;
  if (flexible_) return silu(y);
  std::vector<Tensor> out;
  for (const auto& part : out_.parts) {
    int64_t each = power(dimension_, part.rank);
    Tensor value = narrow(y, 1, at, part.count * each);
    at += part.count * each;
    if (part.rank == 0) {
      out.push_back(silu(value));
      continue;
    }
    Tensor gates = unsqueeze(sigmoid(narrow(y, 1, gate, part.count)), 2);
    gate += part.count;
    out.push_back(reshape(reshape(value, {n, part.count, each}) * gates, {n, part.count * each}));
  }
  return out.size() == 1 ? out[0] : cat(out, 1);
}

Tensor GatedLinearBlock::operator()(const Tensor& x) const {
  Tensor y = linear(x);
  if (products) y = y + (*products)(y)*kProducts;
  Tensor out = activated(y);
  return broken.defined() ? out + silu(narrow(y, 1, 0, out_.size(dimension_))) * broken : out;
}

SoftEmlp::SoftEmlp(const SoftEmlpConfig& c) : hidden_(this, "hidden") {
  c.check();
  Representation between = equivariant::uniform_representation(c.channels, c.dimension), in = c.in;
  for (int64_t i = 0; i + 1 < c.layers; ++i) {
    hidden_.emplace_back(in, between, c);
    in = between;
  }
  last_.emplace(in, c.out, c);
  register_module("last", *last_);
}

Tensor SoftEmlp::operator()(Tensor x) const {
  for (size_t i = 0; i < hidden_.size(); ++i) x = hidden_[i](x);
  return (*last_)(x);
}

std::vector<const SoftLinear*> SoftEmlp::linears() const {
  std::vector<const SoftLinear*> all;
  for (size_t i = 0; i < hidden_.size(); ++i) all.push_back(&hidden_[i].linear);
  all.push_back(&*last_);
  return all;
}

std::vector<LayerWeights> SoftEmlp::layers() const {
  std::vector<LayerWeights> out;
  for (const SoftLinear* l : linears()) out.push_back({l->effective_weight(), l->effective_bias(), l->out(), l->in()});
  return out;
}

Tensor SoftEmlp::residual_prior(double equivariant, double free) const {
  Tensor total;
  for (const SoftLinear* l : linears()) {
    if (!l->free_weight.defined()) throw ValueError("residual_prior: the layers have no residual pathway");
    total = added(total, (half_squared(l->weight) + half_squared(l->bias)) * equivariant +
                             (half_squared(l->free_weight) + half_squared(l->free_bias)) * free);
  }
  return total;
}

Tensor SoftEmlp::half_squared_norm() const {
  Tensor total;
  for (const SoftLinear* l : linears()) {
    total = added(total, half_squared(l->weight) + half_squared(l->bias));
    if (l->free_weight.defined()) total = total + half_squared(l->free_weight) + half_squared(l->free_bias);
  }
  return total;
}

Tensor SoftEmlp::broken_squared_norm() const {
  Tensor total;
  for (size_t i = 0; i < hidden_.size(); ++i)
    if (hidden_[i].broken.defined()) total = added(total, sum(square(hidden_[i].broken)));
  return total;
}

}  // namespace plumb::methods::soft_equivariance
