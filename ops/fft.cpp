// Fourier transforms: each is linear, so its derivative is its adjoint, which is a transform again.
#include "ops/fft.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/record.h"
#include "ops/join.h"
#include "ops/kernels/fft.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// x as [outer, n, inner] around `dim`, behind which `complex` axes of 2 stay; outside the graph.
Tensor planes(const Tensor& x, int dim, bool complex) {
  Shape shape{1, x.shape()[dim], 1};
  for (int d = 0; d < x.rank() - complex; ++d)
    if (d != dim) shape[d < dim ? 0 : 2] *= x.shape()[d];
  if (complex) shape.push_back(2);
  return view_of(x, shape, contiguous_strides(shape), 0);
}

// y = scale F x over `dims`. F is symmetric, so its adjoint is its conjugate, the transform of the other sign:   dx = scale F̄ dy
Tensor transformed(const Tensor& x, const std::vector<int>& dims, bool inverse, double scale) {
  Tensor y = contiguous_data(x);
  for (size_t i = 0; i < dims.size(); ++i) {
    Tensor next = empty(x.shape(), x.dtype(), x.device(), "fft"), to = planes(next, dims[i], true);
    if (x.numel() > 0) kernel::fft(x.device(), planes(y, dims[i], true), inverse, i == 0 ? scale : 1, to);
    y = next;
  }
  return record("fft", y, {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return {transformed(dy[0], dims, !inverse, scale)}; });
}

// Of the coefficients 0 … ⌊n/2⌋ along `dim` those that stand for their conjugates too times `weight`, the others as they are.
Tensor weighted(const Tensor& x, int dim, int64_t n, double weight) {
  std::vector<double> weights(static_cast<size_t>(n / 2 + 1), weight);
  weights.front() = 1;
  if (n % 2 == 0) weights.back() = 1;
  Shape shape = Shape::filled(x.rank(), 1);
  shape[dim] = n / 2 + 1;
  return x * to(to(from_vector(weights, shape), x.dtype()), x.device());
}

Tensor half_to_real(const Tensor& x, int dim, int64_t n, double scale);

// y_k = scale Σ_j x_j e^(−iθjk):   dx_j = scale Re Σ_{k ≤ n/2} dy_k e^(iθjk), which is half_to_real with what it counts twice halved.
Tensor real_to_half(const Tensor& x, int dim, double scale) {
  int64_t n = x.size(dim);
  Shape shape = x.shape();
  shape[dim] = n / 2 + 1;
  shape.push_back(2);
  Tensor y = empty(shape, x.dtype(), x.device(), "rfft");
  if (y.numel() > 0) {
    Tensor to = planes(y, dim, true);
    kernel::rfft(x.device(), planes(contiguous_data(x), dim, false), scale, to);
  }
  return record("rfft", y, {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return {half_to_real(weighted(dy[0], dim, n, 0.5), dim, n, scale)}; });
}

// y_j = scale (Re x_0 + 2 Σ_{0<k<n/2} Re(x_k e^(iθjk)) + …):   dx_k = scale Σ_j dy_j e^(−iθjk), twice where x_k counts twice.
Tensor half_to_real(const Tensor& x, int dim, int64_t n, double scale) {
  Shape shape = x.shape().slice(0, x.rank() - 1);
  shape[dim] = n;
  Tensor y = empty(shape, x.dtype(), x.device(), "irfft");
  if (y.numel() > 0) {
    Tensor to = planes(y, dim, false);
    kernel::irfft(x.device(), planes(contiguous_data(x), dim, true), scale, to);
  }
  return record("irfft", y, {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return {weighted(real_to_half(dy[0], dim, scale), dim, n, 2)}; });
}

// -- what the public functions have in common ------------------------------------------------------------

int complex_rank(const char* op, const Tensor& x) {
  if (x.rank() < 2 || x.size(-1) != 2)
    throw ShapeError(std::string(op) + ": takes complex tensors [.., n, 2], not " + to_string(x.shape()));
  return x.rank() - 1;
}
int real_rank(const char* op, const Tensor& x) {
  if (x.rank() < 1) throw ShapeError(std::string(op) + ": takes tensors of at least one dimension");
  return x.rank();
}

Tensor working(const char* op, const Tensor& x) {
  if (!is_floating(x.dtype())) throw DTypeError(std::string(op) + ": takes floating tensors, not " + std::string(name(x.dtype())));
  return to(x, compute_dtype(x.dtype()));
}

std::vector<int> checked_dims(const char* op, const FftnOptions& o, int rank) {
  std::vector<int> dims;
  for (int d : o.dims) {
    int dim = checked_dim(op, d, rank);
    if (std::find(dims.begin(), dims.end(), dim) != dims.end())
      throw IndexError(std::string(op) + ": dimension " + std::to_string(d) + " is given twice");
    dims.push_back(dim);
  }
  for (int d = 0; o.dims.empty() && d < rank; ++d) dims.push_back(d);
  if (!o.sizes.empty() && o.sizes.size() != dims.size())
    throw ValueError(std::string(op) + ": " + std::to_string(o.sizes.size()) + " sizes are given for " + std::to_string(dims.size()) +
                     " dimensions");
  return dims;
}

// x cut or filled up with zeros to `n` along `dim`.
Tensor resized(const Tensor& x, int dim, int64_t n) {
  int64_t size = x.size(dim);
  if (n == size) return x;
  if (n < size) return slice(x, dim, 0, n);
  std::vector<int64_t> padding(static_cast<size_t>(2 * (x.rank() - dim)), 0);
  padding.back() = n - size;
  return pad(x, padding);
}

// The length asked for along dimension `i` of dims, or `size` where none is.
int64_t length(const char* op, const FftnOptions& o, size_t i, int64_t size) {
  if (o.sizes.empty() || o.sizes[i] == -1) {
    if (size < 1) throw ShapeError(std::string(op) + ": a transformed dimension has no elements; give a length");
    return size;
  }
  if (o.sizes[i] < 1) throw ValueError(std::string(op) + ": a length must be at least 1, it is " + std::to_string(o.sizes[i]));
  return o.sizes[i];
}

double scale_of(FftNorm norm, bool inverse, double count) {
  if (norm == FftNorm::ortho) return 1 / std::sqrt(count);
  return (norm == FftNorm::backward) == inverse ? 1 / count : 1;
}

// Cuts or fills x to the lengths asked for; their product.
double resize_all(const char* op, Tensor& x, const std::vector<int>& dims, const FftnOptions& o) {
  double count = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    int64_t n = length(op, o, i, x.size(dims[i]));
    x = resized(x, dims[i], n);
    count *= static_cast<double>(n);
  }
  return count;
}

Tensor complex_transform(const char* op, const Tensor& input, const FftnOptions& o, bool inverse) {
  std::vector<int> dims = checked_dims(op, o, complex_rank(op, input));
  Tensor x = working(op, input);
  double count = resize_all(op, x, dims, o);
  return to(transformed(x, dims, inverse, scale_of(o.norm, inverse, count)), input.dtype());
}

Tensor real_transform(const char* op, const Tensor& input, const FftnOptions& o) {
  std::vector<int> dims = checked_dims(op, o, real_rank(op, input));
  Tensor x = working(op, input);
  double count = resize_all(op, x, dims, o);
  Tensor y = real_to_half(x, dims.back(), scale_of(o.norm, false, count));
  dims.pop_back();
  if (!dims.empty()) y = transformed(y, dims, false, 1);
  return to(y, input.dtype());
}

Tensor real_inverse(const char* op, const Tensor& input, const FftnOptions& o) {
  std::vector<int> dims = checked_dims(op, o, complex_rank(op, input));
  Tensor x = working(op, input);
  double count = 1;
  int64_t n = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    bool last = i + 1 == dims.size();
    n = length(op, o, i, last ? 2 * (x.size(dims[i]) - 1) : x.size(dims[i]));
    x = resized(x, dims[i], last ? n / 2 + 1 : n);
    count *= static_cast<double>(n);
  }
  int half = dims.back();
  dims.pop_back();
  if (!dims.empty()) x = transformed(x, dims, true, 1);
  return to(half_to_real(x, half, n, scale_of(o.norm, true, count)), input.dtype());
}

FftnOptions along(int dim, const FftOptions& o) { return {.dims = {dim}, .sizes = {o.n}, .norm = o.norm}; }
FftnOptions images(FftNorm norm) { return {.dims = {-2, -1}, .norm = norm}; }

Tensor rolled(const char* op, const Tensor& x, const std::vector<int>& given, bool back) {
  std::vector<int> dims = given;
  for (int d = 0; given.empty() && d < x.rank(); ++d) dims.push_back(d);
  std::vector<int64_t> shifts;
  for (int& d : dims) {
    d = checked_dim(op, d, x.rank());
    int64_t n = x.rank() ? x.size(d) : 1;
    shifts.push_back(back ? -(n / 2) : n / 2);
  }
  return roll(x, shifts, dims);
}

}  // namespace

Tensor fft(const Tensor& x, int dim, FftOptions o) { return complex_transform("fft", x, along(dim, o), false); }
Tensor ifft(const Tensor& x, int dim, FftOptions o) { return complex_transform("ifft", x, along(dim, o), true); }
Tensor rfft(const Tensor& x, int dim, FftOptions o) { return real_transform("rfft", x, along(dim, o)); }
Tensor irfft(const Tensor& x, int dim, FftOptions o) { return real_inverse("irfft", x, along(dim, o)); }
Tensor fftn(const Tensor& x, const FftnOptions& o) { return complex_transform("fftn", x, o, false); }
Tensor ifftn(const Tensor& x, const FftnOptions& o) { return complex_transform("ifftn", x, o, true); }
Tensor rfftn(const Tensor& x, const FftnOptions& o) { return real_transform("rfftn", x, o); }
Tensor irfftn(const Tensor& x, const FftnOptions& o) { return real_inverse("irfftn", x, o); }
Tensor fft2(const Tensor& x, FftNorm norm) { return complex_transform("fft2", x, images(norm), false); }
Tensor ifft2(const Tensor& x, FftNorm norm) { return complex_transform("ifft2", x, images(norm), true); }
Tensor rfft2(const Tensor& x, FftNorm norm) { return real_transform("rfft2", x, images(norm)); }
Tensor irfft2(const Tensor& x, FftNorm norm) { return real_inverse("irfft2", x, images(norm)); }

Tensor fftshift(const Tensor& x, const std::vector<int>& dims) { return rolled("fftshift", x, dims, false); }
Tensor ifftshift(const Tensor& x, const std::vector<int>& dims) { return rolled("ifftshift", x, dims, true); }

}  // namespace plumb
