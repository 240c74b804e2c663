// The box decoder, forward.
#include "models/detection/box_decoder.h"

#include <cmath>

#include "models/detection/boxes.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::detection {

DynamicLayers::DynamicLayers(Module* parent, std::string name, const BoxDecoderOptions& o)
    : Module(parent, std::move(name)),
      dynamic_layer(this, "dynamic_layer", o.width, 2 * o.width * o.dynamic),
      norm1(this, "norm1", o.dynamic),
      norm2(this, "norm2", o.width),
      out_layer(this, "out_layer", o.width * o.roi.size * o.roi.size, o.width),
      norm3(this, "norm3", o.width),
      width_(o.width),
      dynamic_(o.dynamic) {}

Tensor DynamicLayers::operator()(const Tensor& state, const Tensor& bins) const {
  Tensor both = dynamic_layer(state);
  Tensor first = reshape(slice(both, 1, 0, width_ * dynamic_), {-1, width_, dynamic_}),
         second = reshape(slice(both, 1, width_ * dynamic_), {-1, dynamic_, width_});
  Tensor x = relu(norm1(bmm(bins, first)));
  x = relu(norm2(bmm(x, second)));
  return relu(norm3(out_layer(flatten(x, 1))));
}

void BoxStage::add_layers(nn::Sequential& layers, int64_t count, int64_t width) {
  for (int64_t i = 0; i < count; ++i) {
    layers.push_back(nn::Linear(width, width, {.bias = false}));
    layers.push_back(nn::LayerNorm(Shape{width}));
    layers.push_back(relu);
  }
}

BoxStage::BoxStage(const BoxDecoderOptions& o)
    : roi_(o.roi),
      self_attn_(this, "self_attn", o.width, o.heads),
      inst_interact_(this, "inst_interact", o),
      linear1_(this, "linear1", o.width, o.inner),
      linear2_(this, "linear2", o.inner, o.width),
      norm1_(this, "norm1", o.width),
      norm2_(this, "norm2", o.width),
      norm3_(this, "norm3", o.width),
      block_time_mlp_(this, "block_time_mlp"),
      cls_module_(this, "cls_module"),
      reg_module_(this, "reg_module"),
      class_logits_(this, "class_logits", o.width, o.classes),
      bboxes_delta_(this, "bboxes_delta", o.width, 4) {
  if (o.timed) {
    block_time_mlp_.push_back(silu);
    block_time_mlp_.push_back(nn::Linear(4 * o.width, 2 * o.width));
  }
  add_layers(cls_module_, o.class_layers, o.width);
  add_layers(reg_module_, o.box_layers, o.width);
}

Tensor BoxStage::refined(const Tensor& state, const Tensor& bins) const {
  Tensor x = norm1_(state + self_attn_(state));
  x = norm2_(x + reshape(inst_interact_(flatten(x, 0, 1), bins), x.shape()));
  return norm3_(x + linear2_(relu(linear1_(x))));
}

BoxStage::Step BoxStage::operator()(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes,
                                    const Tensor& state, const Tensor& time) const {
  Tensor bins = roi_align(levels, strides, boxes, roi_);
  Tensor known = state.defined() ? state : reshape(mean(bins, {1}), {boxes.size(0), boxes.size(1), bins.size(2)});
  known = refined(known, bins);
  Tensor x = known;
  if (time.defined()) {
    Tensor both = unsqueeze(block_time_mlp_(time), 1);
    int64_t width = x.size(2);
    x = x * (slice(both, 2, 0, width) + 1) + slice(both, 2, width);
  }
  return {{class_logits_(cls_module_(x)), apply_deltas(boxes, bboxes_delta_(reg_module_(x)))}, known};
}

BoxDecoder::BoxDecoder(const BoxDecoderOptions& o) : options_(o), time_mlp_(this, "time_mlp"), head_series_(this, "head_series") {
  for (auto [name, value] : {std::pair{"classes", o.classes},
                             {"width", o.width},
                             {"stages", o.stages},
                             {"heads", o.heads},
                             {"inner", o.inner},
                             {"dynamic", o.dynamic}})
    if (value < 1) throw ValueError(std::string("box_decoder: ") + name + " must be at least 1, it is " + std::to_string(value));
  if (o.timed) {
    time_mlp_.push_back([width = o.width](const Tensor& t) { return sinusoidal_embedding(t, width); });
    time_mlp_.push_back(nn::Linear(o.width, 4 * o.width));
    time_mlp_.push_back([](const Tensor& x) { return gelu(x); });
    time_mlp_.push_back(nn::Linear(4 * o.width, 4 * o.width));
  }
  for (int64_t i = 0; i < o.stages; ++i) head_series_.emplace_back(o);
  const double unlikely = -std::log((1 - 0.01) / 0.01);
  for (auto& [name, p] : named_parameters()) {
    bool of_time = name.find("block_time_mlp") != std::string::npos;
    if (!of_time && p.rank() >= 2)
      nn::init::xavier_uniform(p);
    else if (!of_time && name.ends_with("class_logits.bias"))
      nn::init::constant(p, unlikely);
    else if (of_time || name.ends_with("bias"))
      nn::init::zeros(p);
  }
}

std::vector<Prediction> BoxDecoder::operator()(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& given,
                                               const Tensor& time, const Tensor& known) const {
  if (time.defined() != options_.timed)
    throw ValueError(std::string("box_decoder: ") + (options_.timed ? "is to be told a time" : "knows of no time"));
  if (given.rank() != 3 || given.size(2) != 4) throw ShapeError("box_decoder: boxes are to be [B, P, 4], got " + to_string(given.shape()));
  if (known.defined() && known.shape() != Shape{given.size(0), given.size(1), options_.width})
    throw ShapeError("box_decoder: the state is to be [B, P, " + std::to_string(options_.width) + "] for boxes " +
                     to_string(given.shape()) + ", got " + to_string(known.shape()));
  Tensor t, boxes = given, state = known;
  if (time.defined()) t = time_mlp_(plumb::to(time, levels.at(0).dtype()));
  std::vector<Prediction> predictions;
  for (const BoxStage& stage : head_series_) {
    BoxStage::Step step = stage(levels, strides, boxes, state, t);
    predictions.push_back(step.prediction);
    boxes = step.prediction.boxes.detach();
    state = step.state;
  }
  return predictions;
}

}  // namespace plumb::detection
