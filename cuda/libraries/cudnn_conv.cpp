// Convolution by cuDNN: kernel::conv, its adjoint and its weight sum. The library's classic interface serves: it has every direction,
// group, dilation and type in a call each, and engines of its graph interface behind it. 16-bit types, and f32 where TF32 is allowed, are
// computed with channels last, which is what tensor cores read. In a network everything lies in that order already
// (engine/core/channels_last.h) and nothing is copied; tensors in another order, which the first images are, are copied into it. Sums over
// few channels, and what the library has no algorithm for, are own kernels'.
#include <cudnn.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda/kernels/conv.h"
#include "cuda/layout/conv.h"
#include "cuda/layout/tuned_choices.h"
#include "cuda/libraries/library_handles.h"
#include "cuda/libraries/timing.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "engine/core/precision.h"

namespace plumb::cuda_backend {

using namespace cuda_layout;

namespace {

constexpr size_t kWorkspaceLimit = size_t{1} << 30;
constexpr int kCandidates = 8;

cudnnDataType_t data_type(DType t) {
  switch (t) {
    case DType::f64: return CUDNN_DATA_DOUBLE;
    case DType::f32: return CUDNN_DATA_FLOAT;
    case DType::bf16: return CUDNN_DATA_BFLOAT16;
    case DType::f16: return CUDNN_DATA_HALF;
    default: unsupported_dtype("conv", t);
  }
}

enum class Direction : uint8_t { forward, images, weight };  // what is computed: places, images or the weight

// One convolution as the library knows it.
struct Description {
  cudnnTensorDescriptor_t images = nullptr, places = nullptr;
  cudnnFilterDescriptor_t weight = nullptr;
  cudnnConvolutionDescriptor_t conv = nullptr;

  Description(const ConvSizes& s, DType type, bool channels_last) {
    auto i = [](int64_t v) { return static_cast<int>(v); };
    cudnnTensorFormat_t format = channels_last ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW;
    check(cudnnCreateTensorDescriptor(&images), "conv");
    check(cudnnCreateTensorDescriptor(&places), "conv");
    check(cudnnCreateFilterDescriptor(&weight), "conv");
    check(cudnnCreateConvolutionDescriptor(&conv), "conv");
    check(cudnnSetTensor4dDescriptor(images, format, data_type(type), i(s.n), i(s.c), i(s.h), i(s.w)), "conv");
    check(cudnnSetTensor4dDescriptor(places, format, data_type(type), i(s.n), i(s.o), i(s.y), i(s.x)), "conv");
    check(cudnnSetFilter4dDescriptor(weight, data_type(type), format, i(s.o), i(s.c / s.geometry.groups), i(s.kh), i(s.kw)), "conv");
    const ConvGeometry& g = s.geometry;
    check(cudnnSetConvolution2dDescriptor(conv, i(g.padding[0]), i(g.padding[1]), i(g.stride[0]), i(g.stride[1]), i(g.dilation[0]),
                                          i(g.dilation[1]), CUDNN_CROSS_CORRELATION, data_type(compute_dtype(type))),
          "conv");
    check(cudnnSetConvolutionGroupCount(conv, i(g.groups)), "conv");
  }
  ~Description() {
    cudnnDestroyTensorDescriptor(images);
    cudnnDestroyTensorDescriptor(places);
    cudnnDestroyFilterDescriptor(weight);
    cudnnDestroyConvolutionDescriptor(conv);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
};

struct Pointers {
  void *images, *weight, *places;
};

// What the library is told of a bias that it adds within the convolution: one number a channel of the places, and no activation after it.
struct BiasDescription {
  cudnnTensorDescriptor_t bias = nullptr;
  cudnnActivationDescriptor_t activation = nullptr;

  BiasDescription(int64_t channels, DType type) {
    check(cudnnCreateTensorDescriptor(&bias), "conv");
    check(cudnnCreateActivationDescriptor(&activation), "conv");
    check(cudnnSetTensor4dDescriptor(bias, CUDNN_TENSOR_NHWC, data_type(type), 1, static_cast<int>(channels), 1, 1), "conv");
    check(cudnnSetActivationDescriptor(activation, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0), "conv");
  }
  ~BiasDescription() {
    cudnnDestroyTensorDescriptor(bias);
    cudnnDestroyActivationDescriptor(activation);
  }
  BiasDescription(const BiasDescription&) = delete;
  BiasDescription& operator=(const BiasDescription&) = delete;
};

// An algorithm of any direction.
struct Algorithm {
  int number = 0;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
  size_t workspace = 0;
};

// Those that are deterministic and need no more memory than allowed, the one that the heuristics hold for best first.
template <typename Perf, typename Ask>
std::vector<Algorithm> usable(Ask&& ask) {
  Perf perf[kCandidates];
  int count = 0;
  if (ask(kCandidates, &count, perf) != CUDNN_STATUS_SUCCESS) return {};
  std::vector<Algorithm> found;
  for (int i = 0; i < count; ++i)
    if (perf[i].status == CUDNN_STATUS_SUCCESS && perf[i].determinism == CUDNN_DETERMINISTIC && perf[i].memory <= kWorkspaceLimit)
      found.push_back({static_cast<int>(perf[i].algo), perf[i].mathType, perf[i].memory});
  return found;
}

std::vector<Algorithm> candidates(Direction direction, const Description& d) {
  switch (direction) {
    case Direction::forward:
      return usable<cudnnConvolutionFwdAlgoPerf_t>([&](int most, int* count, auto* perf) {
        return cudnnGetConvolutionForwardAlgorithm_v7(cudnn(), d.images, d.weight, d.conv, d.places, most, count, perf);
      });
    case Direction::images:
      return usable<cudnnConvolutionBwdDataAlgoPerf_t>([&](int most, int* count, auto* perf) {
        return cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn(), d.weight, d.places, d.conv, d.images, most, count, perf);
      });
    default:
      return usable<cudnnConvolutionBwdFilterAlgoPerf_t>([&](int most, int* count, auto* perf) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn(), d.images, d.places, d.conv, d.weight, most, count, perf);
      });
  }
}

class Convolution {
 public:
  Convolution(Direction direction, const ConvSizes& s, DType type, bool channels_last, bool tf32)
      : direction_(direction), sizes_(s), type_(type), channels_last_(channels_last), exact_(type == f32 && !tf32),
        description_(s, type, channels_last) {
    if (exact_) check(cudnnSetConvolutionMathType(description_.conv, CUDNN_FMA_MATH), "conv");
    else if (item_size(type) == 2) check(cudnnSetConvolutionMathType(description_.conv, CUDNN_TENSOR_OP_MATH), "conv");
    candidates_ = candidates(direction, description_);
  }
  bool usable() const { return !candidates_.empty(); }

  /// Adds to what is there if `add`, which only a sum over images (the weight) needs.
  void run(const Pointers& p, bool add) {
    if (candidates_.empty()) throw DeviceError("conv: cuDNN knows no algorithm for " + key());
    if (candidates_.size() > 1) choose(p);
    launch(candidates_[0], p, add);
  }
  /// A forward convolution and its bias by one kernel, where the library has one (only for its precomputed implicit product); else false,
  /// and nothing is written.
  bool run_with_bias(const Pointers& p, const void* bias);

 private:
  std::string key() const;
  void choose(const Pointers& p);
  void launch(const Algorithm& a, const Pointers& p, bool add);

  Direction direction_;
  ConvSizes sizes_;
  DType type_;
  bool channels_last_;
  bool exact_;  // f32 without TF32
  Description description_;
  std::vector<Algorithm> candidates_;  // the first is used; the only one once it was chosen
  std::optional<BiasDescription> bias_;
  bool adds_bias_ = true;  // until the library says no
};

void Convolution::launch(const Algorithm& a, const Pointers& p, bool add) {
  float one = 1, beta = add ? 1 : 0;
  double one64 = 1, beta64 = beta;
  const void *alpha = type_ == f64 ? static_cast<const void*>(&one64) : &one,
             *keep = type_ == f64 ? static_cast<const void*>(&beta64) : &beta;
  const Description& d = description_;
  if (!exact_) check(cudnnSetConvolutionMathType(d.conv, a.math), "conv");
  Scratch<std::byte> workspace(a.workspace);
  switch (direction_) {
    case Direction::forward:
      return check(cudnnConvolutionForward(cudnn(), alpha, d.images, p.images, d.weight, p.weight, d.conv,
                                           static_cast<cudnnConvolutionFwdAlgo_t>(a.number), workspace.data(), a.workspace, keep, d.places,
                                           p.places),
                   "conv");
    case Direction::images:
      return check(cudnnConvolutionBackwardData(cudnn(), alpha, d.weight, p.weight, d.places, p.places, d.conv,
                                                static_cast<cudnnConvolutionBwdDataAlgo_t>(a.number), workspace.data(), a.workspace, keep,
                                                d.images, p.images),
                   "conv_transpose");
    case Direction::weight:
      return check(cudnnConvolutionBackwardFilter(cudnn(), alpha, d.images, p.images, d.places, p.places, d.conv,
                                                  static_cast<cudnnConvolutionBwdFilterAlgo_t>(a.number), workspace.data(), a.workspace,
                                                  keep, d.weight, p.weight),
                   "conv_weight");
  }
}

bool Convolution::run_with_bias(const Pointers& p, const void* bias) {
  if (!adds_bias_ || type_ == f64 || exact_) return false;
  if (candidates_.size() > 1) choose(p);
  const Algorithm& a = candidates_[0];
  adds_bias_ = a.number == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
  if (!adds_bias_) return false;
  if (!bias_) bias_.emplace(sizes_.o, type_);
  check(cudnnSetConvolutionMathType(description_.conv, a.math), "conv");
  const float one = 1, zero = 0;
  const Description& d = description_;
  Scratch<std::byte> workspace(a.workspace);
  adds_bias_ = cudnnConvolutionBiasActivationForward(cudnn(), &one, d.images, p.images, d.weight, p.weight, d.conv,
                                                     static_cast<cudnnConvolutionFwdAlgo_t>(a.number), workspace.data(), a.workspace, &zero,
                                                     d.places, p.places, bias_->bias, bias, bias_->activation, d.places,
                                                     p.places) == CUDNN_STATUS_SUCCESS;
  return adds_bias_;
}

// As the product's choice: from the file, or measured if there is a file. Measuring writes what the call will write again.
void Convolution::choose(const Pointers& p) {
  size_t best = 0;
  if (tuned_choices().tuning()) {
    std::string full = library_key("cudnn", cudnnGetVersion()) + key();
    if (auto known = tuned_choices().find(full)) {
      for (size_t i = 0; i < candidates_.size(); ++i)
        if (candidates_[i].number == static_cast<int>((*known)[0]) && candidates_[i].math == static_cast<cudnnMathType_t>((*known)[1]))
          best = i;
    } else if (is_capturing()) {
      return;  // to be measured in a later call
    } else {
      best = fastest(candidates_.size(), [&](size_t i) { launch(candidates_[i], p, false); });
      tuned_choices().add(full, {static_cast<uint64_t>(candidates_[best].number), static_cast<uint64_t>(candidates_[best].math)});
    }
  }
  candidates_ = {candidates_[best]};
}

std::string Convolution::key() const {
  const char* what[] = {"conv ", "conv_transpose ", "conv_weight "};
  std::string key =
      what[static_cast<int>(direction_)] + std::string(name(type_)) + (channels_last_ ? " nhwc" : " nchw") + (exact_ ? "" : " tf32");
  for (int64_t word : sizes_.words()) key += " " + std::to_string(word);
  return key;
}

// -- from tensors to calls -------------------------------------------------------------------------------

struct Key {
  int device;
  Direction direction;
  DType type;
  bool channels_last, tf32;
  ConvSizes::Words sizes;
  auto operator<=>(const Key&) const = default;
};

// The calling thread's convolutions: the library's descriptions are changed by a call, and its handle is the thread's own.
Convolution& convolution(Direction direction, const ConvSizes& s, DType type, bool channels_last) {
  static thread_local auto* known = new std::map<Key, std::unique_ptr<Convolution>>;
  auto& found = (*known)[{current_device(), direction, type, channels_last, tf32_allowed(), s.words()}];
  if (!found) found = std::make_unique<Convolution>(direction, s, type, channels_last, tf32_allowed());
  return *found;
}

// Runs `direction` between dense images [n, c, h, w], weight and places in one order, some images at a time.
void run(Direction direction, const ConvSizes& all, Tensor& images, Tensor& weight, Tensor& places, bool channels_last) {
  int64_t at_once = images_at_once(all);
  auto at = [](const Tensor& x, int64_t image) {
    return static_cast<std::byte*>(x.raw_data()) + image * (x.numel() / x.shape()[0]) * static_cast<int64_t>(item_size(x.dtype()));
  };
  for (int64_t first = 0; first < all.n; first += at_once) {
    ConvSizes s = all;
    s.n = std::min(at_once, all.n - first);
    convolution(direction, s, images.dtype(), channels_last)
        .run({at(images, first), weight.raw_data(), at(places, first)}, direction == Direction::weight && first > 0);
  }
}

// A convolution forward with its bias, if the library adds it in the same kernel.
bool run_with_bias(const ConvSizes& s, const Tensor& images, const Tensor& weight, const Tensor& bias, Tensor& places, bool channels_last) {
  if (!bias.defined() || bias.numel() != s.o || images_at_once(s) < s.n) return false;
  return convolution(Direction::forward, s, images.dtype(), channels_last)
      .run_with_bias({images.raw_data(), weight.raw_data(), places.raw_data()}, bias.raw_data());
}

// What the library is asked to compute: sizes, and the order of images.
struct Plan {
  ConvSizes sizes;
  bool channels_last;
  Shape images() const { return {sizes.n, sizes.c, sizes.h, sizes.w}; }
  Shape places() const { return {sizes.n, sizes.o, sizes.y, sizes.x}; }
  Shape weight() const { return {sizes.o, sizes.c / sizes.geometry.groups, sizes.kh, sizes.kw}; }
};

bool usable(Direction direction, const ConvSizes& s, DType type, bool channels_last) {
  ConvSizes part = s;
  part.n = std::min(images_at_once(s), s.n);
  return convolution(direction, part, type, channels_last).usable();
}

// Channels last where that is what tensor cores read, a few channels with zeros beside them: colour images take half the time so. Nothing
// if the library can in neither order.
std::optional<Plan> plan_for(Direction direction, const ConvSizes& given, DType type) {
  ConvSizes s = pads_evenly(given) ? given : framed(given), wide = widened(s, 16 / static_cast<int64_t>(item_size(type)));
  bool tensor_cores = type != f64 && (type != f32 || tf32_allowed());
  if (tensor_cores && usable(direction, wide, type, true)) return Plan{wide, true};
  if (tensor_cores && usable(direction, s, type, true)) return Plan{s, true};
  return usable(direction, s, type, false) ? std::optional(Plan{s, false}) : std::nullopt;
}

void add_bias(const Tensor& bias, Tensor& y) {
  if (!bias.defined()) return;
  Tensor all = view_of(bias, y.shape(), {0, bias.strides()[0], 0, 0}, 0);
  kernel::accumulate(y.device(), all, y);
}

void fill_zero(Tensor& x) { kernel::fill(x.device(), 0, x); }

// The first channels of a wider tensor, as many as `shape` has (of a weight, in both dimensions).
Tensor first_channels(const Tensor& wide, const Shape& shape) { return view_of(wide, shape, wide.strides(), 0); }

// x in the plan's order and of this shape, with zeros as further channels: itself, or a copy.
Tensor taken(const Tensor& x, const Shape& shape, bool channels_last) {
  if (x.shape() == shape) return dense_data(x, channels_last);
  Tensor wide = empty_in_order(shape, x.dtype(), x.device(), "conv", channels_last), part = first_channels(wide, x.shape());
  fill_zero(wide);
  kernel::copy(x.device(), x, part);
  return wide;
}

// The images, with the padding laid around them where the library cannot pad so.
Tensor taken_images(const ConvSizes& given, const Plan& plan, const Tensor& x) {
  if (pads_evenly(given)) return taken(x, plan.images(), plan.channels_last);
  Tensor frame = empty_in_order(plan.images(), x.dtype(), x.device(), "conv", plan.channels_last);
  fill_zero(frame);
  auto [from, into] = framing(given, x, first_channels(frame, {given.n, given.c, plan.sizes.h, plan.sizes.w}));
  kernel::copy(x.device(), from, into);
  return frame;
}

// Where the library writes `result`: there, or into memory of its own of the plan's shape and order.
Tensor written(const Tensor& result, const Shape& shape, bool channels_last) {
  bool there = result.shape() == shape && is_dense(result, channels_last);
  return there ? result : empty_in_order(shape, result.dtype(), result.device(), "conv", channels_last);
}
// From there, if it is elsewhere.
void bring_back(const Tensor& from, Tensor& result) {
  if (!from.same_as(result)) kernel::copy(result.device(), first_channels(from, result.shape()), result);
}

// A kernel of one place that skips some reads an image of fewer places: a copy of a few elements, and a plain product for the library,
// which has no good kernel for the other (200 µs for 512 images [64, 32, 32] to 128 channels in bf16 on an H100 80GB HBM3).
bool skips_places(const Tensor& weight, const ConvGeometry& g) {
  return weight.size(2) == 1 && weight.size(3) == 1 && g.padding[0] == 0 && g.padding[1] == 0 && (g.stride[0] > 1 || g.stride[1] > 1);
}
Tensor places_read(const Tensor& x, const Tensor& y, const ConvGeometry& g) {
  const Strides& s = x.strides();
  return view_of(x, {x.size(0), x.size(1), y.size(2), y.size(3)}, {s[0], s[1], s[2] * g.stride[0], s[3] * g.stride[1]}, 0);
}
ConvGeometry without_stride(ConvGeometry g) {
  g.stride[0] = g.stride[1] = 1;
  return g;
}

// 2 n o y x (c / groups) kh kw operations: bound by arithmetic but for pointwise kernels of few channels.
void conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y) {
  if (y.numel() == 0) return;
  if (x.numel() == 0 || weight.numel() == 0) {
    fill_zero(y);
    return add_bias(bias, y);
  }
  if (kernel::sums_directly(weight.shape(), g.groups)) return own_conv(x, weight, bias, g, y);
  if (skips_places(weight, g)) return conv(places_read(x, y, g), weight, bias, without_stride(g), y);
  ConvSizes given = conv_sizes(x, weight, y, g);
  std::optional<Plan> plan = plan_for(Direction::forward, given, x.dtype());
  if (!plan) return own_conv(x, weight, bias, g, y);
  bool last = plan->channels_last;
  Tensor images = taken_images(given, *plan, x), w = taken(weight, plan->weight(), last), places = written(y, plan->places(), last);
  bool biased = run_with_bias(plan->sizes, images, w, bias, places, last);
  if (!biased) run(Direction::forward, plan->sizes, images, w, places, last);
  bring_back(places, y);
  if (!biased) add_bias(bias, y);
}

void conv_transpose(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x) {
  if (x.numel() == 0) return;
  ConvSizes given = conv_sizes(x, weight, y, g);
  if (y.numel() == 0 || weight.numel() == 0) {
    fill_zero(x);
    return add_bias(bias, x);
  }
  if (kernel::sums_directly(weight.shape(), g.groups)) return own_conv_transpose(y, weight, bias, g, x);
  std::optional<Plan> plan = plan_for(Direction::images, given, x.dtype());
  if (!plan) return own_conv_transpose(y, weight, bias, g, x);
  bool last = plan->channels_last;
  Tensor places = taken(y, plan->places(), last), w = taken(weight, plan->weight(), last);
  Tensor images =
      pads_evenly(given) ? written(x, plan->images(), last) : empty_in_order(plan->images(), x.dtype(), x.device(), "conv", last);
  run(Direction::images, plan->sizes, images, w, places, last);
  if (pads_evenly(given)) {
    bring_back(images, x);
  } else {
    fill_zero(x);  // what no place reads
    auto [into, from] = framing(given, x, first_channels(images, {given.n, given.c, plan->sizes.h, plan->sizes.w}));
    kernel::copy(x.device(), from, into);
  }
  add_bias(bias, x);
}

void conv_weight(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  if (weight.numel() == 0) return;
  if (y.numel() == 0 || x.numel() == 0) return fill_zero(weight);
  ConvSizes given = conv_sizes(x, weight, y, g);
  if (kernel::sums_directly(weight.shape(), g.groups)) return own_conv_weight(y, x, g, weight);
  std::optional<Plan> plan = plan_for(Direction::weight, given, x.dtype());
  if (!plan) return own_conv_weight(y, x, g, weight);
  bool last = plan->channels_last;
  Tensor images = taken_images(given, *plan, x), places = taken(y, plan->places(), last), w = written(weight, plan->weight(), last);
  run(Direction::weight, plan->sizes, images, w, places, last);
  bring_back(w, weight);
}

}  // namespace

void register_cudnn_conv() {
  kernel::conv.set(DeviceType::cuda, conv);
  kernel::conv_transpose.set(DeviceType::cuda, conv_transpose);
  kernel::conv_weight.set(DeviceType::cuda, conv_weight);
}

}  // namespace plumb::cuda_backend
