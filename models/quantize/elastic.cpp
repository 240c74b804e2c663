// Elastic layers: tables of scales, one weight, and the form that is set.
#include "models/quantize/elastic.h"

#include "engine/autograd/grad_mode.h"
#include "models/quantize/fit_scale.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::quantize {
namespace {

constexpr int64_t kWidths = kMostBits - kLeastBits + 1;
constexpr int64_t kSteps = 80, kChannelSteps = 5;  // shrink steps: of a tensor, and of a channel's symmetric scale
constexpr int64_t kSample = 2048;                  // values over which the errors of a tensor's scale are summed

// Row `row` of a table ← values.
void write_row(const Tensor& table, int64_t row, const Tensor& values) {
  Tensor target = view_of(table, {table.size(1)}, {1}, row * table.size(1));
  copy_data(values, target);
}

bool coin(Generator& g) { return g.next_below(2) == 1; }

LayerForm drawn_form(Generator& g, int weight_bits, int activation_bits) {
  LayerForm f{weight_bits, activation_bits};
  f.per_channel = coin(g), f.weight_symmetric = coin(g), f.activation_symmetric = coin(g);
  return f;
}

int drawn_bits(Generator& g, const std::vector<int>& choices) {
  if (choices.empty()) return kLeastBits + static_cast<int>(g.next_below(static_cast<uint64_t>(kWidths)));
  return choices[g.next_below(choices.size())];
}

}  // namespace

void LayerForm::check() const {
  check_bits(weight_bits);
  check_bits(activation_bits);
}

// -- scales ------------------------------------------------------------------------------------------

ScaleTable::ScaleTable(nn::Module* parent, std::string name, int64_t channels) {
  join(parent, std::move(name));
  register_parameter("symmetric_scale", symmetric_scale, ones({kWidths, channels}));
  register_parameter("asymmetric_scale", asymmetric_scale, ones({kWidths, channels}));
  register_parameter("asymmetric_offset", asymmetric_offset, zeros({kWidths, channels}));
  register_buffer("fitted", fitted_, full({}, false, boolean));
  register_buffer("from_zero", from_zero_, full({}, false, boolean));
}

void ScaleTable::fit(const Tensor& v, bool from_zero, int axis, int64_t symmetric_steps, int64_t max_elements, int only_bits) {
  NoGrad off;
  if (only_bits != 0) check_bits(only_bits);
  for (int bits = kLeastBits; bits <= kMostBits; ++bits) {
    if (only_bits != 0 && bits != only_bits) continue;
    CodeRange range = from_zero ? unsigned_codes(bits) : signed_codes(bits);
    FitOptions o{.symmetric = true, .axis = axis, .steps = symmetric_steps, .max_elements = max_elements};
    FittedScale symmetric = fit_scale(v, range, o);
    o.symmetric = false, o.steps = kSteps;
    FittedScale asymmetric = fit_scale(v, range, o);
    write_row(symmetric_scale, bits - kLeastBits, symmetric.scale);
    write_row(asymmetric_scale, bits - kLeastBits, asymmetric.scale);
    write_row(asymmetric_offset, bits - kLeastBits, asymmetric.offset);
  }
  Tensor is_fitted = fitted_, starts_from_zero = from_zero_;
  fill_(is_fitted, true), fill_(starts_from_zero, from_zero);
}

Tensor ScaleTable::quantized(const Tensor& v, int bits, bool symmetric, double gradient_scale, int axis) const {
  check_bits(bits);
  if (!fitted()) throw ValueError("elastic layer: its scales were not fitted yet; calibrate() first");
  int64_t row = bits - kLeastBits;
  FakeQuantizeOptions o{.codes = codes(bits), .axis = axis, .gradient_scale = gradient_scale};
  if (symmetric) return fake_quantize(v, select(symmetric_scale, 0, row), {}, o);
  return fake_quantize(v, select(asymmetric_scale, 0, row), select(asymmetric_offset, 0, row), o);
}

// -- layers ------------------------------------------------------------------------------------------

ElasticLayer::ElasticLayer(nn::Module* parent, std::string name, const Tensor& w, const Tensor& b, const Conv2dOptions& convolution)
    : weight_by_tensor(this, "weight_by_tensor", 1),
      weight_by_channel(this, "weight_by_channel", w.rank() > 0 ? w.size(0) : 1),
      input(this, "input", 1),
      convolution_(convolution) {
  if (w.rank() != 2 && w.rank() != 4)
    throw ShapeError("elastic layer: a weight " + to_string(w.shape()) +
                     " is neither a linear layer's [out, in] nor a convolution's [out, in, height, width]");
  register_parameter("weight", weight, clone(w.detach()));
  if (b.defined()) register_parameter("bias", bias, clone(b.detach()));
  join(parent, std::move(name));
}

void ElasticLayer::set_weight(const Tensor& w, const Tensor& b) {
  NoGrad off;
  Tensor mine = weight, my_bias = bias;
  if (w.shape() != mine.shape() || b.defined() != my_bias.defined())
    throw ShapeError("elastic layer: a weight " + to_string(w.shape()) + " for a layer of " + to_string(mine.shape()));
  copy_data(w, mine);
  if (b.defined()) copy_data(b, my_bias);
}

void ElasticLayer::fit_weight(int only_bits) {
  weight_by_tensor.fit(weight, false, -1, kSteps, kSample, only_bits);
  weight_by_channel.fit(weight, false, 0, kChannelSteps, 0, only_bits);
}

Tensor ElasticLayer::calibrate(const Tensor& x) {
  fit_weight();
  input.fit(x, never_negative(x), -1, kSteps, kSample);
  return computed(x, weight);
}

void ElasticLayer::set_form(const LayerForm& form) {
  form.check();
  form_ = form;
}

Tensor ElasticLayer::quantized_weight() const {
  const ScaleTable& table = form_.per_channel ? weight_by_channel : weight_by_tensor;
  double g = scale_gradient(weight, table.codes(form_.weight_bits), form_.per_channel);
  return table.quantized(weight, form_.weight_bits, form_.weight_symmetric, g);
}

Tensor ElasticLayer::computed(const Tensor& x, const Tensor& w) const {
  return w.rank() == 4 ? conv2d(x, w, bias, convolution_) : linear(x, w, bias);
}

Tensor ElasticLayer::operator()(const Tensor& x) {
  if (x.rank() > 0 && x.size(0) > 0) input_elements_ = x.numel() / x.size(0);
  if (mode_ == Mode::full_precision) return computed(x, weight);
  if (mode_ == Mode::calibrating) return calibrate(x);
  double g = scale_gradient(x, input.codes(form_.activation_bits), false);
  return computed(input.quantized(x, form_.activation_bits, form_.activation_symmetric, g), quantized_weight());
}

// -- networks ----------------------------------------------------------------------------------------

SuperNet::SuperNet(nn::Module& network) {
  for (auto& [name, module] : network.named_modules())
    if (auto* layer = dynamic_cast<ElasticLayer*>(module)) layers_.push_back(layer);
  if (layers_.size() < 2)
    throw ValueError("super-net: the network has " + std::to_string(layers_.size()) + " elastic layers; it takes two or more");
}

NetForm SuperNet::form() const {
  NetForm form;
  for (const ElasticLayer* layer : layers_) form.push_back(layer->form());
  return form;
}

void SuperNet::set(const NetForm& form) const {
  if (form.size() != layers_.size())
    throw ValueError("super-net: forms of " + std::to_string(form.size()) + " layers for a network of " + std::to_string(layers_.size()));
  for (const LayerForm& f : form) f.check();
  for (size_t i = 0; i < form.size(); ++i) layers_[i]->set_form(form[i]);
}

void SuperNet::set_mode(ElasticLayer::Mode mode) const {
  for (ElasticLayer* layer : layers_) layer->set_mode(mode);
}

NetForm SuperNet::with_ends(NetForm form) const {
  for (LayerForm* end : {&form.front(), &form.back()}) end->weight_bits = end->activation_bits = kMostBits;
  return form;
}

NetForm SuperNet::uniform(int bits, bool per_channel, bool weight_symmetric, bool activation_symmetric) const {
  return with_ends(NetForm(layers(), {bits, bits, per_channel, weight_symmetric, activation_symmetric}));
}

NetForm SuperNet::biggest(Generator& g) const {
  NetForm form;
  for (size_t i = 0; i < layers(); ++i) form.push_back(drawn_form(g, kMostBits, kMostBits));
  return form;
}

NetForm SuperNet::random(Generator& g, const std::vector<int>& choices) const {
  NetForm form;
  for (size_t i = 0; i < layers(); ++i) {
    int weight_bits = drawn_bits(g, choices), activation_bits = drawn_bits(g, choices);
    form.push_back(drawn_form(g, weight_bits, activation_bits));
  }
  return with_ends(std::move(form));
}

NetForm SuperNet::smallest(Generator& g) const {
  NetForm form;
  for (size_t i = 0; i < layers(); ++i) form.push_back(drawn_form(g, kLeastBits, kLeastBits));
  return with_ends(std::move(form));
}

NetForm SuperNet::random_bits(Generator& g, bool per_channel, bool weight_symmetric, bool activation_symmetric,
                              const std::vector<int>& choices) const {
  NetForm form;
  for (size_t i = 0; i < layers(); ++i) {
    int weight_bits = drawn_bits(g, choices), activation_bits = drawn_bits(g, choices);
    form.push_back({weight_bits, activation_bits, per_channel, weight_symmetric, activation_symmetric});
  }
  return with_ends(std::move(form));
}

std::vector<double> SuperNet::weight_sizes() const {
  std::vector<double> sizes;
  for (const ElasticLayer* layer : layers_) sizes.push_back(static_cast<double>(layer->weight.numel()));
  return sizes;
}

std::vector<double> SuperNet::activation_sizes() const {
  std::vector<double> sizes;
  for (const ElasticLayer* layer : layers_) sizes.push_back(static_cast<double>(layer->input_elements()));
  return sizes;
}

}  // namespace plumb::quantize
