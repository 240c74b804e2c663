// Operations in f32 against what NumPy, SciPy and PyTorch computed in f64 (tests/reference/op_vectors, by op_vectors.py beside it): every
// element lies within c · ε · Σ |terms|, with ε = 2⁻²³, the terms stored beside the numbers, and c given here for each operation.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "engine/io/npy.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/conv3d.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/fft.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/normalize.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"
#include "ops/vision.h"

using namespace plumb;

namespace {

struct Case {
  std::string operation;
  std::vector<int64_t> n;      // whole numbers
  std::vector<double> r;       // others
  std::vector<Tensor> x;       // f32
  Shape shape;                 // of the result
  const double* expected;
  const float* terms;

  int dim(size_t k = 0) const { return static_cast<int>(n.at(k)); }
  std::vector<int> dims(size_t from = 1) const { return {n.begin() + static_cast<int64_t>(from), n.end()}; }
  bool keepdim() const { return n.at(0) != 0; }
  Tensor index(size_t k) const { return to(x.at(k), i64); }
  Reduction reduction() const { return n.at(0) == 0 ? Reduction::none : n.at(0) == 1 ? Reduction::mean : Reduction::sum; }
};
using Function = std::function<Tensor(const Case&)>;
struct Row {
  double c;  // 0: every bit
  Function function;
};
using Rows = std::map<std::string, Row>;
using Unary = std::map<std::string, Tensor (*)(const Tensor&)>;
using Binary = std::map<std::string, Tensor (*)(const Tensor&, const Tensor&)>;
constexpr double kRounded = 0.501;  // the f32 number nearest to the result

Function of(Tensor (*f)(const Tensor&)) {
  return [f](const Case& c) { return f(c.x[0]); };
}
Function of(Tensor (*f)(const Tensor&, const Tensor&)) {
  return [f](const Case& c) { return f(c.x[0], c.x[1]); };
}

Rows elementary_rows() {
  Rows rows{{"polygamma", {2, [](const Case& c) { return polygamma(c.dim(), c.x[0]); }}}};
  for (auto [name, f] : Unary{{"abs", abs},
                              {"sign", sign},
                              {"neg", neg},
                              {"floor", floor},
                              {"ceil", ceil},
                              {"round", round},
                              {"trunc", trunc},
                              {"relu", relu}})
    rows[name] = {0, of(f)};
  for (auto [name, f] : Unary{{"square", square}, {"sqrt", sqrt}, {"reciprocal", reciprocal}}) rows[name] = {kRounded, of(f)};
  for (auto [name, f] :
       Unary{{"rsqrt", rsqrt}, {"relu6", relu6}, {"softsign", softsign}, {"hardsigmoid", hardsigmoid}, {"hardswish", hardswish}})
    rows[name] = {1.5, of(f)};
  for (auto [name, f] : Unary{{"exp", exp},         {"exp2", exp2},
                              {"expm1", expm1},     {"log", log},
                              {"log2", log2},       {"log10", log10},
                              {"log1p", log1p},     {"sin", sin},
                              {"cos", cos},         {"tan", tan},
                              {"asin", asin},       {"acos", acos},
                              {"atan", atan},       {"sinh", sinh},
                              {"cosh", cosh},       {"tanh", tanh},
                              {"asinh", asinh},     {"acosh", acosh},
                              {"atanh", atanh},     {"erf", erf},
                              {"erfc", erfc},       {"erfinv", erfinv},
                              {"sigmoid", sigmoid}, {"silu", silu},
                              {"mish", mish},       {"logsigmoid", logsigmoid},
                              {"selu", selu},       {"lgamma", lgamma},
                              {"digamma", digamma}, {"tanhshrink", tanhshrink}})
    rows[name] = {2, of(f)};
  rows["softplus"] = {2, [](const Case& c) { return softplus(c.x[0]); }};
  rows["hardtanh"] = {0, [](const Case& c) { return hardtanh(c.x[0]); }};
  rows["gelu"] = {2, [](const Case& c) { return gelu(c.x[0]); }};
  rows["gelu_tanh"] = {2, [](const Case& c) { return gelu(c.x[0], GeluForm::tanh); }};
  rows["elu"] = {2, [](const Case& c) { return elu(c.x[0]); }};
  rows["celu"] = {2, [](const Case& c) { return celu(c.x[0]); }};
  rows["leaky_relu"] = {1, [](const Case& c) { return leaky_relu(c.x[0]); }};
  rows["hardshrink"] = {0, [](const Case& c) { return hardshrink(c.x[0]); }};
  rows["softshrink"] = {1, [](const Case& c) { return softshrink(c.x[0]); }};
  rows["logit"] = {2, [](const Case& c) { return logit(c.x[0]); }};
  return rows;
}

Rows pair_rows() {
  Rows rows;
  for (auto [name, f] : Binary{{"add", add}, {"sub", sub}, {"mul", mul}, {"div", div}}) rows[name] = {kRounded, of(f)};
  for (auto [name, f] : Binary{{"hypot", hypot}, {"remainder", remainder}}) rows[name] = {1, of(f)};
  for (auto [name, f] : Binary{{"maximum", maximum}, {"minimum", minimum}, {"floor_divide", floor_divide}}) rows[name] = {0, of(f)};
  for (auto [name, f] : Binary{{"pow", pow}, {"atan2", atan2}, {"xlogy", xlogy}, {"logaddexp", logaddexp}}) rows[name] = {2, of(f)};
  rows["lerp"] = {2, [](const Case& c) { return lerp(c.x[0], c.x[1], c.x[2]); }};
  rows["where"] = {0, [](const Case& c) { return where(to(c.x[0], boolean), c.x[1], c.x[2]); }};
  rows["matmul"] = {2, of(matmul)};
  rows["linear"] = {2, [](const Case& c) { return linear(c.x[0], c.x[1], c.x[2]); }};
  rows["outer"] = {kRounded, of(outer)};
  rows["kron"] = {kRounded, of(kron)};
  return rows;
}

Rows reduce_rows() {
  return {
      {"sum", {2, [](const Case& c) { return sum(c.x[0], c.dims(), c.keepdim()); }}},
      {"mean", {2, [](const Case& c) { return mean(c.x[0], c.dims(), c.keepdim()); }}},
      {"prod", {1, [](const Case& c) { return prod(c.x[0], c.dims(), c.keepdim()); }}},
      {"var", {2, [](const Case& c) { return var(c.x[0], c.dims(), 1, c.keepdim()); }}},
      {"std_dev", {2, [](const Case& c) { return std_dev(c.x[0], c.dims(), 1, c.keepdim()); }}},
      {"norm", {2, [](const Case& c) { return norm(c.x[0], c.r[0], c.dims(), c.keepdim()); }}},
      {"amax", {0, [](const Case& c) { return amax(c.x[0], c.dims(), c.keepdim()); }}},
      {"amin", {0, [](const Case& c) { return amin(c.x[0], c.dims(), c.keepdim()); }}},
      {"logsumexp", {1, [](const Case& c) { return logsumexp(c.x[0], c.dims(), c.keepdim()); }}},
      {"argmax", {0, [](const Case& c) { return argmax(c.x[0], c.dim()); }}},
      {"argmin", {0, [](const Case& c) { return argmin(c.x[0], c.dim()); }}},
      {"quantile", {1, [](const Case& c) { return quantile(c.x[0], c.r[0], c.dims(0)); }}},
      {"median", {0, [](const Case& c) { return median(c.x[0], c.dim()).values; }}},
      {"softmax", {1, [](const Case& c) { return softmax(c.x[0], c.dim()); }}},
      {"log_softmax", {1, [](const Case& c) { return log_softmax(c.x[0], c.dim()); }}},
      {"cumsum", {1, [](const Case& c) { return cumsum(c.x[0], c.dim()); }}},
      {"cumprod", {1, [](const Case& c) { return cumprod(c.x[0], c.dim()); }}},
      {"sort", {0, [](const Case& c) { return sort(c.x[0], c.dim(), c.n[1] != 0).values; }}},
      {"argsort", {0, [](const Case& c) { return argsort(c.x[0], c.dim()); }}},
      {"topk", {0, [](const Case& c) { return topk(c.x[0], c.n[1], c.dim()).values; }}},
      {"kthvalue", {0, [](const Case& c) { return kthvalue(c.x[0], c.n[1], c.dim()).values; }}},
      {"normalize", {2, [](const Case& c) { return normalize(c.x[0], 2, c.dim()); }}},
      {"layer_norm", {2, [](const Case& c) { return layer_norm(c.x[0], {c.x[0].size(-1)}, c.x[1], c.x[2]); }}},
      {"rms_norm", {2, [](const Case& c) { return rms_norm(c.x[0], {c.x[0].size(-1)}, c.x[1]); }}},
      {"group_norm", {1, [](const Case& c) { return group_norm(c.x[0], c.n[0], c.x[1], c.x[2]); }}},
  };
}

Rows moving_rows() {
  Rows rows;
  std::map<std::string, Function> exact{
      {"flip", [](const Case& c) { return flip(c.x[0], {c.dim()}); }},
      {"roll", [](const Case& c) { return roll(c.x[0], {c.n[1]}, {c.dim()}); }},
      {"roll_flat", [](const Case& c) { return roll(c.x[0], c.n[0]); }},
      {"repeat_interleave", [](const Case& c) { return repeat_interleave(c.x[0], c.n[1], c.dim()); }},
      {"movedim", [](const Case& c) { return movedim(c.x[0], c.dim(), c.dim(1)); }},
      {"index_select", [](const Case& c) { return index_select(c.x[0], c.dim(), c.index(1)); }},
      {"gather", [](const Case& c) { return gather(c.x[0], c.dim(), c.index(1)); }},
      {"cat", [](const Case& c) { return cat(c.x, c.dim()); }},
      {"stack", [](const Case& c) { return stack(c.x, c.dim()); }},
      {"permute", [](const Case& c) { return permute(c.x[0], c.dims(0)); }},
      {"tile", [](const Case& c) { return tile(c.x[0], c.n); }},
      {"reshape", [](const Case& c) { return reshape(c.x[0], Shape(c.n)); }},
      {"tril", [](const Case& c) { return tril(c.x[0], c.n[0]); }},
      {"triu", [](const Case& c) { return triu(c.x[0], c.n[0]); }},
      {"diagonal", [](const Case& c) { return diagonal(c.x[0], c.dim()); }},
      {"rot90", [](const Case& c) { return rot90(c.x[0], c.dim()); }},
      {"pad_constant", [](const Case& c) { return pad(c.x[0], c.n); }},
      {"pad_reflect", [](const Case& c) { return pad(c.x[0], c.n, PadMode::reflect); }},
      {"pad_edge", [](const Case& c) { return pad(c.x[0], c.n, PadMode::replicate); }},
      {"pad_wrap", [](const Case& c) { return pad(c.x[0], c.n, PadMode::circular); }},
      {"pixel_shuffle", [](const Case& c) { return pixel_shuffle(c.x[0], c.n[0]); }},
      {"pixel_unshuffle", [](const Case& c) { return pixel_unshuffle(c.x[0], c.n[0]); }},
      {"unfold", [](const Case& c) { return unfold(c.x[0], c.n[0], {.stride = c.n[2], .padding = c.n[1]}); }},
      {"embedding", [](const Case& c) { return embedding(c.x[0], c.index(1)); }},
  };
  for (auto& [name, f] : exact) rows[name] = {0, f};
  rows["scatter_add"] = {2, [](const Case& c) { return scatter_add(c.x[0], c.dim(), c.index(1), c.x[2]); }};
  return rows;
}

template <typename Options>
Options steps(const Case& c) {
  return {.stride = c.n[0], .padding = c.n[1], .dilation = c.n[2], .groups = c.n[3]};
}
template <typename Options>
Options windows(const Case& c) {
  return {.stride = c.n[1], .padding = c.n[2], .ceil_mode = c.n[3] != 0};
}
Tensor resized(const Case& c, Interpolation mode) {
  return interpolate(c.x[0], {.size = Size2(c.n[0], c.n[1]), .mode = mode, .align_corners = c.n.size() > 2 && c.n[2] != 0});
}

Rows window_rows() {
  return {
      {"conv1d", {2, [](const Case& c) { return conv1d(c.x[0], c.x[1], c.x[2], steps<Conv1dOptions>(c)); }}},
      {"conv2d", {2, [](const Case& c) { return conv2d(c.x[0], c.x[1], c.x[2], steps<Conv2dOptions>(c)); }}},
      {"conv3d", {2, [](const Case& c) { return conv3d(c.x[0], c.x[1], c.x[2], steps<Conv3dOptions>(c)); }}},
      {"conv_transpose1d", {2, [](const Case& c) { return conv_transpose1d(c.x[0], c.x[1], c.x[2], steps<ConvTranspose1dOptions>(c)); }}},
      {"conv_transpose2d", {2, [](const Case& c) { return conv_transpose2d(c.x[0], c.x[1], c.x[2], steps<ConvTranspose2dOptions>(c)); }}},
      {"max_pool1d", {0, [](const Case& c) { return max_pool1d(c.x[0], c.n[0], windows<MaxPool1dOptions>(c)); }}},
      {"max_pool2d", {0, [](const Case& c) { return max_pool2d(c.x[0], c.n[0], windows<MaxPool2dOptions>(c)); }}},
      {"avg_pool1d", {2, [](const Case& c) { return avg_pool1d(c.x[0], c.n[0], windows<AvgPool1dOptions>(c)); }}},
      {"avg_pool2d", {2, [](const Case& c) { return avg_pool2d(c.x[0], c.n[0], windows<AvgPool2dOptions>(c)); }}},
      {"adaptive_avg_pool2d", {2, [](const Case& c) { return adaptive_avg_pool2d(c.x[0], c.n[0]); }}},
      {"adaptive_max_pool2d", {0, [](const Case& c) { return adaptive_max_pool2d(c.x[0], c.n[0]); }}},
      {"interpolate_nearest", {0, [](const Case& c) { return resized(c, Interpolation::nearest); }}},
      {"interpolate_area", {1, [](const Case& c) { return resized(c, Interpolation::area); }}},
      {"interpolate_linear", {1, [](const Case& c) { return resized(c, Interpolation::linear); }}},
      {"interpolate_bicubic", {2, [](const Case& c) { return resized(c, Interpolation::bicubic); }}},
      {"attention", {1, [](const Case& c) { return scaled_dot_product_attention(c.x[0], c.x[1], c.x[2], {.causal = c.n[0] != 0}); }}},
  };
}

Rows loss_rows() {
  return {
      {"cross_entropy",
       {1, [](const Case& c) { return cross_entropy(c.x[0], c.index(1), {.label_smoothing = c.r[0], .reduction = c.reduction()}); }}},
      {"bce_with_logits",
       {1, [](const Case& c) { return binary_cross_entropy_with_logits(c.x[0], c.x[1], {.reduction = c.reduction()}); }}},
      {"bce", {1, [](const Case& c) { return binary_cross_entropy(c.x[0], c.x[1], {.reduction = c.reduction()}); }}},
      {"mse_loss", {2, [](const Case& c) { return mse_loss(c.x[0], c.x[1], c.reduction()); }}},
      {"l1_loss", {1, [](const Case& c) { return l1_loss(c.x[0], c.x[1], c.reduction()); }}},
      {"smooth_l1_loss", {1, [](const Case& c) { return smooth_l1_loss(c.x[0], c.x[1], c.r[0], c.reduction()); }}},
      {"huber_loss", {1, [](const Case& c) { return huber_loss(c.x[0], c.x[1], c.r[0], c.reduction()); }}},
      {"poisson_nll_loss", {2, [](const Case& c) { return poisson_nll_loss(c.x[0], c.x[1], {.reduction = c.reduction()}); }}},
      {"gaussian_nll_loss", {1, [](const Case& c) { return gaussian_nll_loss(c.x[0], c.x[1], c.x[2], {.reduction = c.reduction()}); }}},
      {"triplet_margin_loss", {1, [](const Case& c) { return triplet_margin_loss(c.x[0], c.x[1], c.x[2], {.reduction = c.reduction()}); }}},
      {"cosine_similarity", {2, [](const Case& c) { return cosine_similarity(c.x[0], c.x[1]); }}},
  };
}

// Their terms hold the condition of the matrix.
Rows linalg_rows() {
  return {
      {"solve", {1, of(solve)}},
      {"inv", {1, of(inv)}},
      {"slogdet", {1, [](const Case& c) { return slogdet(c.x[0]).logabs; }}},
      {"singular_values", {1, [](const Case& c) { return svd(c.x[0]).s; }}},
      {"cholesky", {1, of(cholesky)}},
      {"eigenvalues", {1, [](const Case& c) { return eigh(c.x[0]).values; }}},
      {"triangular_solve", {2, [](const Case& c) { return triangular_solve(c.x[0], c.x[1]); }}},
      {"matrix_exp", {1, of(matrix_exp)}},
      {"fft", {0.5, [](const Case& c) { return fft(c.x[0]); }}},
      {"ifft", {0.5, [](const Case& c) { return ifft(c.x[0]); }}},
      {"rfft", {0.5, [](const Case& c) { return rfft(c.x[0]); }}},
  };
}

std::vector<std::string> parts_of(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text + separator);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}
template <typename T>
std::vector<T> numbers_in(const std::string& text) {
  std::istringstream in(text);
  std::vector<T> numbers;
  for (T v; in >> v;) numbers.push_back(v);
  return numbers;
}
Shape shape_in(const std::string& text) {
  Shape shape;
  if (text == "s") return shape;
  for (const std::string& size : parts_of(text, 'x')) shape.push_back(std::stoll(size));
  return shape;
}

struct Vectors {
  StateDict arrays;
  std::vector<Case> cases;
};
Vectors load_vectors() {
  const char* source = std::getenv("PLUMB_SOURCE");
  Vectors v{load_npz(std::string(source ? source : ".") + "/tests/reference/op_vectors/vectors.npz"), {}};
  const Tensor& text = v.arrays.at("cases");
  const float *inputs = v.arrays.at("inputs").data<float>(), *terms = v.arrays.at("terms").data<float>();
  const double* expected = v.arrays.at("expected").data<double>();
  for (const std::string& line :
       parts_of(std::string(reinterpret_cast<const char*>(text.data<uint8_t>()), static_cast<size_t>(text.numel())), '\n')) {
    std::vector<std::string> part = parts_of(line, ';');
    Case c{part.at(0), numbers_in<int64_t>(part.at(1)), numbers_in<double>(part.at(2)), {}, shape_in(part.at(4)), expected, terms};
    for (const std::string& input : parts_of(part.at(3), ',')) {
      Shape shape = shape_in(input);
      c.x.push_back(from_vector(std::vector<float>(inputs, inputs + numel(shape)), shape));
      inputs += numel(shape);
    }
    expected += numel(c.shape);
    terms += numel(c.shape);
    v.cases.push_back(std::move(c));
  }
  return v;
}

// The largest |result − expected| / (ε Σ|terms|); infinite if something that should be exact, or the shape, is not.
double worst_of(const Case& c, const Tensor& result, double allowed) {
  if (result.shape() != c.shape) return INFINITY;
  std::vector<double> got = to_vector(result);
  double worst = 0;
  for (size_t k = 0; k < got.size(); ++k) {
    double error = std::abs(got[k] - c.expected[k]), unit = 0x1p-23 * static_cast<double>(c.terms[k]);
    if (error == 0) continue;
    worst = std::max(worst, allowed > 0 && unit > 0 && std::isfinite(error) ? error / unit : INFINITY);
  }
  return worst;
}

}  // namespace

TEST_CASE("operations in f32 agree with NumPy, SciPy and PyTorch in f64 to c roundings of their terms") {
  Rows rows;
  for (auto family : {elementary_rows, pair_rows, reduce_rows, moving_rows, window_rows, loss_rows, linalg_rows}) rows.merge(family());
  Vectors vectors = load_vectors();
  CHECK(vectors.cases.size() >= 2000);
  std::set<std::string> met;
  for (size_t k = 0; k < vectors.cases.size(); ++k) {
    const Case& c = vectors.cases[k];
    REQUIRE_MESSAGE(rows.contains(c.operation), c.operation << " has no row");
    const Row& row = rows.at(c.operation);
    double off = worst_of(c, row.function(c), row.c);
    met.insert(c.operation);
    CHECK_MESSAGE(off <= row.c, c.operation << ", case " << k << ": off by " << off << " roundings of its terms, allowed are " << row.c);
  }
  for (const auto& row : rows) CHECK_MESSAGE(met.contains(row.first), row.first << " has no case");
}

TEST_CASE("the comparison with reference vectors sees what it is there for") {
  const double expected[] = {1, 2};
  const float terms[] = {1, 4};
  Case c{"x", {}, {}, {}, {2}, expected, terms};
  CHECK(worst_of(c, tensor({1.0, 2.0}), 0) == 0);
  CHECK(worst_of(c, tensor({1.0, 2.0 + 0x1p-21}, f64), 4) == 1);
  CHECK(worst_of(c, tensor({1.0 + 0x1p-22, 2.0}, f64), 4) == 2);
  CHECK(worst_of(c, tensor({1.0, 2.0 + 0x1p-21}, f64), 0) == INFINITY);
  CHECK(worst_of(c, tensor({1.0, NAN}, f64), 4) == INFINITY);
  CHECK(worst_of(c, tensor({{1.0, 2.0}}), 4) == INFINITY);
}
