// Populations of perceptrons: grouped products, one group a member.
#include "models/mlp/population.h"

#include <string>

#include "engine/core/kept_generator.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/grouped_matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::mlp {
namespace {

const MlpConfig& plain(const MlpConfig& config, int64_t members) {
  config.check();
  if (members < 1) throw ValueError("mlp population: there are no members");
  if (config.norm || config.dropout > 0) throw ValueError("mlp population: layer norm and dropout are not for populations");
  return config;
}

Tensor activated(const std::string& name, const Tensor& x) {
  if (name == "gelu") return gelu(x);
  if (name == "silu") return silu(x);
  if (name == "tanh") return tanh(x);
  return relu(x);
}

void copy_into(const Tensor& from, const Tensor& to) {
  Tensor target = to;
  copy_data(from, target);
}

}  // namespace

PopulationLinear::PopulationLinear(int64_t members, int64_t in, int64_t out)
    : weight(this, "weight", zeros({members, out, in})), bias(this, "bias", zeros({members, out})) {}

Tensor PopulationLinear::operator()(const Tensor& x) const {
  int64_t members = weight.size(0), rows = x.size(1);
  Tensor offsets = arange(members + 1, i64) * rows;
  Tensor y = grouped_linear(reshape(x, {members * rows, x.size(2)}), weight, bias, offsets);
  return reshape(y, {members, rows, weight.size(1)});
}

MlpPopulation::MlpPopulation(int64_t members, const MlpConfig& config)
    : config_(plain(config, members)), members_(members), layers_(this, "layers") {
  int64_t in = config.inputs;
  for (int64_t width : config.hidden) {
    layers_.emplace_back(members, in, width);
    in = width;
  }
  layers_.emplace_back(members, in, config.outputs);
}

MlpPopulation::MlpPopulation(const MlpConfig& config, const std::vector<uint64_t>& seeds)
    : MlpPopulation(static_cast<int64_t>(seeds.size()), config) {
  KeptGenerator kept;
  for (size_t p = 0; p < seeds.size(); ++p) {
    manual_seed(seeds[p]);
    Mlp member(config);
    std::vector<Tensor> from = member.parameters(), to = parameters();
    for (size_t k = 0; k < to.size(); ++k) copy_into(from[k], select(to[k].detach(), 0, static_cast<int64_t>(p)));
  }
}

Tensor MlpPopulation::operator()(const Tensor& input) const {
  bool same = input.rank() == 2, own = input.rank() == 3 && input.size(0) == members_;
  if ((!same && !own) || input.size(-1) != config_.inputs)
    throw ShapeError("mlp population: " + std::to_string(members_) + " members take [n, " + std::to_string(config_.inputs) + "] or [" +
                     std::to_string(members_) + ", n, " + std::to_string(config_.inputs) + "], got " + to_string(input.shape()));
  Tensor x = same ? expand(unsqueeze(input, 0), {members_, input.size(0), input.size(1)}) : input;
  for (size_t i = 0; i + 1 < layers_.size(); ++i) x = activated(config_.activation, layers_[i](x));
  return layers_[layers_.size() - 1](x);
}

Mlp MlpPopulation::member(int64_t p) const {
  if (p < 0 || p >= members_)
    throw IndexError("mlp population: member " + std::to_string(p) + " is outside [0, " + std::to_string(members_) + ")");
  KeptGenerator kept;
  Mlp alone(config_);
  std::vector<Tensor> from = parameters(), to = alone.parameters();
  for (size_t k = 0; k < to.size(); ++k) copy_into(select(from[k].detach(), 0, p), to[k].detach());
  return alone;
}

MlpPopulation MlpPopulation::part(int64_t from, int64_t to) const {
  if (from < 0 || from >= to || to > members_)
    throw IndexError("mlp population: members " + std::to_string(from) + " to " + std::to_string(to) + " of " + std::to_string(members_));
  MlpPopulation some(to - from, config_);
  std::vector<Tensor> all = parameters(), taken = some.parameters();
  for (size_t k = 0; k < all.size(); ++k) copy_into(slice(all[k].detach(), 0, from, to), taken[k].detach());
  return some;
}

void MlpPopulation::put(int64_t from, const MlpPopulation& part) {
  if (from < 0 || from + part.size() > members_)
    throw IndexError("mlp population: " + std::to_string(part.size()) + " members at " + std::to_string(from) + " of " +
                     std::to_string(members_));
  std::vector<Tensor> all = parameters(), given = part.parameters();
  if (all.size() != given.size()) throw ShapeError("mlp population: members with another number of layers");
  for (size_t k = 0; k < all.size(); ++k)
    if (given[k].shape() != slice(all[k].detach(), 0, 0, part.size()).shape())
      throw ShapeError("mlp population: members of another form, " + to_string(given[k].shape()));
  for (size_t k = 0; k < all.size(); ++k) copy_into(given[k].detach(), slice(all[k].detach(), 0, from, from + part.size()));
}

}  // namespace plumb::mlp
