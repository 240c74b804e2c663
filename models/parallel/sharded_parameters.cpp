// Rows of all processes put together, and cut apart again.
#include "models/parallel/sharded_parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "engine/dist/world.h"
#include "models/optim/transforms.h"
#include "ops/shape.h"

namespace plumb::parallel {
namespace {

// Calls f(name, tensor, parameter) for each tensor of the state that belongs to a parameter of the model.
template <typename F>
void each_of_model(const nn::Module& model, StateDict& state, F&& f) {
  for (auto& [name, parameter] : model.named_parameters())
    if (auto found = state.find(name); found != state.end()) f(name, found->second, parameter);
}

// The same for an optimiser's, which are called by their parameter's place: "3.exp_avg".
template <typename F>
void each_of_optimizer(const optim::Optimizer& optimizer, StateDict& state, F&& f) {
  std::vector<Tensor> parameters = optimizer.parameters();
  for (auto& [name, tensor] : state) {
    size_t place = parameters.size();
    std::from_chars(name.data(), name.data() + name.size(), place);
    if (place < parameters.size()) f(name, tensor, parameters[place]);
  }
}

}  // namespace

RowRange rows_of(int64_t count, int rank, int size) { return {count * rank / size, count * (rank + 1) / size}; }

std::vector<Tensor> ShardedParameters::same(const std::vector<Tensor>& all) const {
  std::vector<Tensor> chosen;
  for (const Tensor& p : all)
    if (!contains(p)) chosen.push_back(p);
  return chosen;
}

double ShardedParameters::clip_grad_norm(GradientBuckets& buckets, const std::vector<Tensor>& all, double max_norm) const {
  NoGrad off;
  std::vector<Tensor> own;
  for (const Tensor& p : all)
    if (contains(p) && p.grad().defined()) own.push_back(p.grad());
  double here = own.empty() ? 0 : optim::clip_norm(own, INFINITY), same = buckets.clip_norm(INFINITY);
  Tensor squares = from_vector(std::vector<double>{here * here});
  processes_->start_all_reduce(squares)->wait();
  double norm = std::sqrt(squares.item() + same * same);
  if (!std::isfinite(norm) || norm <= max_norm) return norm;
  if (here > 0) optim::clip_norm(own, here * (max_norm / norm));
  if (same > 0) buckets.clip_norm(same * (max_norm / norm));
  return norm;
}

Tensor ShardedParameters::gathered(const Tensor& own, int64_t rows) const {
  NoGrad off;
  Tensor here = contiguous_data(to(own.detach(), cpu));
  Shape shape = own.shape();
  shape[0] = rows;
  Tensor all = empty(shape, own.dtype(), cpu, "gathered");
  char* place = static_cast<char*>(all.raw_data());
  for (const std::string& part :
       processes_->all_gather({static_cast<const char*>(here.raw_data()), static_cast<size_t>(here.numel()) * item_size(here.dtype())}))
    place = std::ranges::copy(part, place).out;
  return all;
}

Tensor ShardedParameters::cut(const std::string& name, const Tensor& whole, int64_t rows) const {
  if (whole.rank() == 0 || whole.size(0) != rows)
    throw ShapeError("sharded parameters: \"" + name + "\" is " + to_string(whole.shape()) + ", it should have " + std::to_string(rows) +
                     " rows");
  auto [begin, end] = rows_of(rows, processes_->rank(), processes_->size());
  return narrow(whole, 0, begin, end - begin);
}

StateDict ShardedParameters::whole(const nn::Module& model, StateDict state) const {
  each_of_model(model, state, [&](const std::string&, Tensor& tensor, const Tensor& parameter) {
    if (contains(parameter)) tensor = gathered(tensor, rows_.at(parameter.impl()));
  });
  return state;
}

StateDict ShardedParameters::own(const nn::Module& model, StateDict whole) const {
  each_of_model(model, whole, [&](const std::string& name, Tensor& tensor, const Tensor& parameter) {
    if (contains(parameter)) tensor = cut(name, tensor, rows_.at(parameter.impl()));
  });
  return whole;
}

optim::OptimizerState ShardedParameters::whole_state(const optim::Optimizer& optimizer) const {
  optim::OptimizerState state = optimizer.state();
  each_of_optimizer(optimizer, state.tensors, [&](const std::string&, Tensor& tensor, const Tensor& parameter) {
    if (contains(parameter)) tensor = gathered(tensor, rows_.at(parameter.impl()));
  });
  return state;
}

optim::OptimizerState ShardedParameters::own_state(const optim::Optimizer& optimizer, optim::OptimizerState whole) const {
  each_of_optimizer(optimizer, whole.tensors, [&](const std::string& name, Tensor& tensor, const Tensor& parameter) {
    if (contains(parameter)) tensor = cut(name, tensor, rows_.at(parameter.impl()));
  });
  return whole;
}

ShardedParameters sharded_parameters(nn::Module& model) {
  ShardedParameters sharded(dist::world());
  for (auto& [name, module] : model.named_modules()) {
    auto* shared = dynamic_cast<ShardedModule*>(module);
    if (!shared || !shared->processes()) continue;
    if (!sharded.any()) sharded = ShardedParameters(*shared->processes());
    for (auto& [own, rows] : shared->parts()) sharded.add(own, rows);
  }
  return sharded;
}

}  // namespace plumb::parallel
