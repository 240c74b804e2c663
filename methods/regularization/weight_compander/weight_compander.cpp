// Companded weights of a model's layers.
#include "methods/regularization/weight_compander/weight_compander.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::weight_compander {
namespace {

struct NamedLayer {
  std::string name;
  nn::WeightLayer* layer;
};

std::vector<NamedLayer> layers_of(nn::Module& model) {
  std::vector<NamedLayer> layers;
  for (auto& [name, module] : model.named_modules())
    if (auto* layer = dynamic_cast<nn::WeightLayer*>(module)) layers.push_back({name, layer});
  return layers;
}

std::string weight_of(const std::string& layer) { return layer.empty() ? "weight" : layer + ".weight"; }

bool is_end_of(const std::string& end, const std::string& name) { return name == end || name.ends_with("." + end); }

// The layers to compand; throws for what Companding throws for.
std::vector<NamedLayer> chosen(nn::Module& model, const std::vector<std::string>& except) {
  std::vector<NamedLayer> layers = layers_of(model);
  for (const std::string& name : except)
    if (std::ranges::none_of(layers, [&](const NamedLayer& n) { return is_end_of(name, n.name); }))
      throw ValueError("weight_compander: no linear or convolution layer is called \"" + name + "\"");
  std::erase_if(
      layers, [&](const NamedLayer& n) { return std::ranges::any_of(except, [&](const std::string& e) { return is_end_of(e, n.name); }); });
  if (layers.empty()) throw ValueError("weight_compander: the model has no linear or convolution layer to compand");
  std::map<std::string, const TensorImpl*> owned;
  std::map<const TensorImpl*, int64_t> owners;
  for (const nn::NamedTensor& p : model.named_parameters()) owned[p.name] = p.tensor.impl(), ++owners[p.tensor.impl()];
  for (const NamedLayer& n : layers) {
    auto found = owned.find(weight_of(n.name));
    if (found == owned.end())
      throw ValueError("weight_compander: the weight of \"" + n.name + "\" is computed from others already: companded twice?");
    if (owners[found->second] > 1) throw ValueError("weight_compander: the weight of \"" + n.name + "\" belongs to another layer too");
  }
  return layers;
}

double bound_of(const CompandedWeight& w, Bounded function) { return function == Bounded::arctan ? w.a() * std::numbers::pi / 2 : w.a(); }

}  // namespace

void CompandingOptions::check() const {
  if (!(a > 0)) throw ValueError(fmt::format("weight_compander: a must be positive, it is {}", a));
  if (!(b > 0)) throw ValueError(fmt::format("weight_compander: b must be positive, it is {}", b));
  if (!(clip > 0 && clip < std::numbers::pi / 2))
    throw ValueError(fmt::format("weight_compander: clip must lie in (0, π/2), it is {}", clip));
  if (!(range >= 1)) throw ValueError(fmt::format("weight_compander: range must be at least 1, it is {}", range));
}

double he_scale(const Shape& weight) {
  if (weight.rank() < 2) throw ShapeError("weight_compander: a weight has two dimensions or more, not " + to_string(weight));
  int64_t fan_in = numel(weight) / std::max<int64_t>(weight[0], 1);
  return std::sqrt(2 / static_cast<double>(fan_in));
}

CompandedWeight::CompandedWeight(const Tensor& weight, const CompandingOptions& o) : function_(o.function), range_(o.range) {
  double scale = o.relative ? he_scale(weight.shape()) : 1, a = o.a * scale, b = o.b * scale;
  Tensor plain = weight.detach();
  register_parameter("v", v, o.start == Start::match ? compand_inverse(plain, a, b, o.clip, o.function) : clone(plain));
  register_buffer("constants", constants, plumb::to(plumb::to(from_vector(std::vector<double>{a, b}), weight.dtype()), weight.device()));
  if (!o.learn) return;
  register_parameter("log_a", log_a, clone(select(log(constants), 0, 0)));
  register_parameter("log_b", log_b, clone(select(log(constants), 0, 1)));
}

// Learned constants that a step took out of their range are brought back before they are used.
Tensor CompandedWeight::operator()() const {
  if (!log_a.defined()) return compand(v, select(constants, 0, 0), select(constants, 0, 1), function_);
  if (training() && std::isfinite(range_)) {
    NoGrad off;
    Tensor start = log(constants);
    double reach = std::log(range_);
    for (int which : {0, 1}) {
      Tensor held = which == 0 ? log_a : log_b, middle = select(start, 0, which);
      copy_data(minimum(maximum(held.detach(), middle - reach), middle + reach), held);
    }
  }
  return compand(v, exp(log_a), exp(log_b), function_);
}

double CompandedWeight::a() const { return log_a.defined() ? std::exp(log_a.item()) : to_vector(constants)[0]; }
double CompandedWeight::b() const { return log_b.defined() ? std::exp(log_b.item()) : to_vector(constants)[1]; }

Companding::Companding(nn::Module& model, const CompandingOptions& options) : options_((options.check(), options)) {
  for (const NamedLayer& n : chosen(model, options.except)) {
    emplace_back(n.layer->release_parameter(n.layer->weight), options);
    names_.push_back(n.name);
  }
  NoGrad off;
  apply(model);
}

std::vector<std::pair<std::string, nn::Module*>> Companding::heap_children() const {
  auto children = ModuleList::heap_children();
  for (size_t i = 0; i < children.size(); ++i) children[i].first = names_[i];
  return children;
}

void Companding::apply(nn::Module& model) const {
  size_t next = 0;
  for (const NamedLayer& n : layers_of(model))
    if (next < names_.size() && n.name == names_[next]) n.layer->weight = (*this)[next++]();
  if (next < names_.size())
    throw ValueError("weight_compander: the model has no layer \"" + names_[next] + "\": it is not the one that was companded");
}

void Companding::bake(nn::Module& model) {
  NoGrad off;
  apply(model);
  for (const NamedLayer& n : layers_of(model))
    if (std::ranges::find(names_, n.name) != names_.end()) n.layer->register_parameter("weight", n.layer->weight, n.layer->weight.detach());
  clear();
  names_.clear();
}

void Companding::load_plain(nn::Module& model, const StateDict& state) {
  NoGrad off;
  StateDict rest = state;
  std::vector<Tensor> found;
  for (size_t i = 0; i < size(); ++i) {
    std::string name = weight_of(names_[i]);
    auto at = rest.find(name);
    if (at == rest.end()) throw ValueError("weight_compander: the state lacks \"" + name + "\"");
    const CompandedWeight& w = (*this)[i];
    if (at->second.shape() != w.v.shape())
      throw ShapeError("weight_compander: \"" + name + "\" is " + to_string(at->second.shape()) + " in the state, " +
                       to_string(w.v.shape()) + " in the model");
    double largest = max(abs(plumb::to(at->second, f64))).item(), bound = bound_of(w, options_.function);
    if (!(largest <= bound * (1 + 1e-6)))
      throw ValueError(fmt::format("weight_compander: \"{}\" has a weight of {:.6g}, beyond the bound {:.6g}; a larger a has room for it",
                                   name, largest, bound));
    found.push_back(at->second);
    rest.erase(at);
  }
  model.load_state(rest);
  constexpr double kNearPole = std::numbers::pi / 2 - 1e-4;  // a weight that saturated stays so
  for (size_t i = 0; i < size(); ++i) {
    Tensor v = (*this)[i].v;
    copy_data(compand_inverse(plumb::to(plumb::to(found[i], v.dtype()), v.device()), (*this)[i].a(), (*this)[i].b(), kNearPole,
                              options_.function),
              v);
  }
  apply(model);
}

std::vector<Tensor> Companding::learned() const {
  std::vector<Tensor> constants;
  for (const CompandedWeight& w : *this)
    if (w.log_a.defined()) constants.insert(constants.end(), {w.log_a, w.log_b});
  return constants;
}

}  // namespace plumb::methods::weight_compander
