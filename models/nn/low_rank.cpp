// Low-rank adapters: one change of a weight, and the functions over all layers of a model.
#include "models/nn/low_rank.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "models/nn/weight_layer.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

Tensor as_matrix(const Tensor& weight) { return reshape(weight, {weight.size(0), -1}); }

// ‖row‖ of each row of dimension 0, with the rank of x.
Tensor row_lengths(const Tensor& x) {
  Shape column = Shape{x.size(0)};
  for (int d = 1; d < x.rank(); ++d) column.push_back(1);
  return reshape(sqrt(sum(square(as_matrix(x)), {1})), column);
}

}  // namespace

// -- one adapter ------------------------------------------------------------------------------------

LowRankAdapter::LowRankAdapter(std::string name, Tensor weight, const LowRankOptions& o)
    : name_(std::move(name)), shape_(weight.shape()), scale_(o.alpha > 0 ? o.alpha / static_cast<double>(o.rank) : 1), dropout_(o.dropout) {
  NoGrad off;
  Tensor matrix = as_matrix(weight.detach());
  int64_t rows = matrix.size(0), columns = matrix.size(1);
  if (o.rank < 1 || o.rank > std::min(rows, columns))
    throw ValueError("low_rank: rank " + std::to_string(o.rank) + " does not lie between 1 and the smaller side of a weight " +
                     to_string(weight.shape()));
  if (o.alpha < 0) throw ValueError("low_rank: alpha must not be negative, it is " + decimal(o.alpha));
  if (o.dropout > 0 && (o.magnitude || weight.rank() != 2)) throw ValueError("low_rank: dropout is for linear layers without magnitude");
  if (o.magnitude) register_parameter("magnitude", magnitude, clone(flatten(row_lengths(weight.detach()))));
  if (o.start == LowRankStart::principal) {
    auto [u, s, vh] = svd(matrix);
    Tensor root = sqrt(slice(s, 0, 0, o.rank) / scale_);
    register_parameter("down", down, clone(slice(vh, 0, 0, o.rank) * unsqueeze(root, 1)));
    register_parameter("up", up, clone(slice(u, 1, 0, o.rank) * root));
    register_buffer("start_down", start_down_, clone(down.detach()));
    register_buffer("start_up", start_up_, clone(up.detach()));
    copy_data(weight.detach() - taken(), weight);
  } else {
    register_parameter("down", down, empty({o.rank, columns}, weight.dtype(), weight.device()));
    register_parameter("up", up, zeros({rows, o.rank}, weight.dtype(), weight.device()));
    init::kaiming_uniform(down, 1 / std::sqrt(3.0));  // U(−1/√columns, 1/√columns), as a linear layer's
  }
  register_module("dropout", dropout_);
}

Tensor LowRankAdapter::change() const { return reshape(matmul(up, down) * scale_, shape_); }

Tensor LowRankAdapter::taken() const { return start_up_.defined() ? reshape(matmul(start_up_, start_down_) * scale_, shape_) : Tensor(); }

Tensor LowRankAdapter::operator()(const Tensor& weight) const {
  Tensor changed = weight + change();
  if (!has_magnitude()) return changed;
  Tensor length = row_lengths(changed);
  return changed * (reshape(magnitude, length.shape()) / length);
}

Tensor LowRankAdapter::beside(const Tensor& x) const { return linear(linear(dropout_(x), down), up) * scale_; }

// -- the adapters of one layer ----------------------------------------------------------------------

LowRankAdapter* AdapterSet::find(const std::string& name) {
  for (LowRankAdapter& adapter : *this)
    if (adapter.name() == name) return &adapter;
  return nullptr;
}

std::vector<std::pair<std::string, Module*>> AdapterSet::heap_children() const {
  auto children = ModuleList::heap_children();
  for (size_t i = 0; i < children.size(); ++i) children[i].first = (*this)[i].name();
  return children;
}

Tensor WeightLayer::changed_weight() const {
  Tensor changed = weight;
  for (const LowRankAdapter& adapter : *adapters)
    if (adapter.active) changed = adapter(changed);
  return changed;
}

// -- over a whole model -----------------------------------------------------------------------------

namespace {

struct NamedLayer {
  std::string name;
  WeightLayer* layer;
};

std::vector<NamedLayer> layers_of(const Module& model) {
  std::vector<NamedLayer> layers;
  for (auto& [name, module] : model.named_modules())
    if (auto* layer = dynamic_cast<WeightLayer*>(module)) layers.push_back({name, layer});
  return layers;
}

bool is_target(const std::string& name, const std::vector<std::string>& targets) {
  return targets.empty() ||
         std::any_of(targets.begin(), targets.end(), [&](const std::string& t) { return name == t || name.ends_with("." + t); });
}

bool merged(const WeightLayer& layer) { return layer.adapters && layer.adapters->original.defined(); }

void require_unmerged(const std::vector<NamedLayer>& layers, const char* action) {
  for (const NamedLayer& n : layers)
    if (merged(*n.layer)) throw ValueError(std::string(action) + ": the adapters of \"" + n.name + "\" are merged; unmerge_adapters first");
}

void require_names(const Module& model, const char* action, const std::vector<std::string>& names) {
  std::vector<std::string> known = adapter_names(model);
  for (const std::string& name : names)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw ValueError(std::string(action) + ": no layer has an adapter \"" + name + "\"");
}

}  // namespace

int64_t add_adapter(Module& model, const std::string& name, const LowRankOptions& options, const std::vector<std::string>& targets) {
  if (name.empty() || name.find('.') != std::string::npos)
    throw ValueError("add_adapter: a name must be non-empty and without dots: \"" + name + "\"");
  std::vector<NamedLayer> layers = layers_of(model);
  std::erase_if(layers, [&](const NamedLayer& n) { return !is_target(n.name, targets); });
  std::map<const TensorImpl*, int> users;  // a weight that two layers share would change both
  for (const auto& p : model.named_parameters()) ++users[p.tensor.impl()];
  auto shared = [&](const NamedLayer& n) { return n.layer->weight.defined() && users[n.layer->weight.impl()] > 1; };
  if (targets.empty()) std::erase_if(layers, shared);
  for (const NamedLayer& n : layers)
    if (shared(n))
      throw ValueError("add_adapter: the weight of \"" + n.name + "\" is tied to another parameter, which the adapter would change too");
  if (layers.empty()) throw ValueError("add_adapter: no linear or convolution layer has one of the names asked for");
  require_unmerged(layers, "add_adapter");
  for (const NamedLayer& n : layers) {
    const Tensor& w = n.layer->weight;
    if (!w.defined() || !w.is_leaf()) throw ValueError("add_adapter: the weight of \"" + n.name + "\" is computed from others");
    if (n.layer->adapters && n.layer->adapters->find(name))
      throw ValueError("add_adapter: \"" + n.name + "\" has an adapter \"" + name + "\" already");
    if (int64_t most = std::min(w.size(0), w.numel() / w.size(0)); options.rank > most)
      throw ValueError("add_adapter: \"" + n.name + "\" " + to_string(w.shape()) + " has no rank of " + std::to_string(options.rank) +
                       "; choose " + std::to_string(most) + " or less, or other layers");
    if (options.dropout > 0 && (options.magnitude || w.rank() != 2))
      throw ValueError("add_adapter: \"" + n.name + "\": dropout is for linear layers without magnitude");
  }
  for (const NamedLayer& n : layers) {
    if (!n.layer->adapters) n.layer->register_module("adapters", n.layer->adapters.emplace());
    n.layer->adapters->emplace_back(name, n.layer->weight, options).train(n.layer->training());
  }
  return static_cast<int64_t>(layers.size());
}

void remove_adapter(Module& model, const std::string& name) {
  require_names(model, "remove_adapter", {name});
  std::vector<NamedLayer> layers = layers_of(model);
  require_unmerged(layers, "remove_adapter");
  NoGrad off;
  for (const NamedLayer& n : layers) {
    if (!n.layer->adapters || !n.layer->adapters->find(name)) continue;
    if (Tensor taken = n.layer->adapters->find(name)->taken(); taken.defined())
      copy_data(n.layer->weight.detach() + taken, n.layer->weight);
    n.layer->adapters->remove_if([&](const LowRankAdapter& a) { return a.name() == name; });
  }
}

std::vector<std::string> adapter_names(const Module& model) {
  std::set<std::string> names;
  for (const NamedLayer& n : layers_of(model))
    if (n.layer->adapters)
      for (const LowRankAdapter& adapter : *n.layer->adapters) names.insert(adapter.name());
  return {names.begin(), names.end()};
}

void use_adapters(Module& model, const std::vector<std::string>& names) {
  require_names(model, "use_adapters", names);
  std::vector<NamedLayer> layers = layers_of(model);
  require_unmerged(layers, "use_adapters");
  for (const NamedLayer& n : layers)
    if (n.layer->adapters)
      for (LowRankAdapter& adapter : *n.layer->adapters)
        adapter.active = std::find(names.begin(), names.end(), adapter.name()) != names.end();
}

void merge_adapters(Module& model) {
  NoGrad off;
  for (const NamedLayer& n : layers_of(model)) {
    if (!n.layer->adapters || merged(*n.layer)) continue;
    Tensor changed = n.layer->weight.detach();
    for (const LowRankAdapter& adapter : *n.layer->adapters)
      if (adapter.active) changed = adapter(changed);
    n.layer->adapters->original = clone(n.layer->weight.detach());
    copy_data(changed, n.layer->weight);
  }
}

void unmerge_adapters(Module& model) {
  NoGrad off;
  for (const NamedLayer& n : layers_of(model)) {
    if (!merged(*n.layer)) continue;
    copy_data(n.layer->adapters->original, n.layer->weight);
    n.layer->adapters->original = Tensor();
  }
}

void train_adapters_only(Module& model, const std::vector<std::string>& names) {
  require_names(model, "train_adapters_only", names);
  model.requires_grad_(false);
  for (const NamedLayer& n : layers_of(model))
    if (n.layer->adapters)
      for (LowRankAdapter& adapter : *n.layer->adapters)
        if (names.empty() || std::find(names.begin(), names.end(), adapter.name()) != names.end()) adapter.requires_grad_(true);
}

StateDict adapter_state(const Module& model, const std::string& name) {
  require_names(model, "adapter_state", {name});
  StateDict state;
  for (const NamedLayer& n : layers_of(model))
    if (LowRankAdapter* adapter = n.layer->adapters ? n.layer->adapters->find(name) : nullptr)
      for (const NamedTensor& p : adapter->named_parameters()) state[(n.name.empty() ? "" : n.name + ".") + p.name] = p.tensor.detach();
  return state;
}

void load_adapter_state(Module& model, const std::string& name, const StateDict& state) {
  StateDict here = adapter_state(model, name);
  for (const auto& [part, value] : here) {
    auto found = state.find(part);
    if (found == state.end()) throw ValueError("load_adapter_state: the state lacks \"" + part + "\"");
    if (found->second.shape() != value.shape())
      throw ShapeError("load_adapter_state: \"" + part + "\" is " + to_string(found->second.shape()) + " in the state, " +
                       to_string(value.shape()) + " in the model");
  }
  for (const auto& [part, value] : state)
    if (!here.contains(part)) throw ValueError("load_adapter_state: the model has no \"" + part + "\"");
  for (auto& [part, value] : here) copy_data(state.at(part), value);
}

}  // namespace plumb::nn
