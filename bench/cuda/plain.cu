// Kernels as a first version would be: what the engine's are measured against. A thread has an element, or a block of 256 has a row.
#include <cmath>

#include "bench/gpu.h"
#include "bench/suite.h"
#include "cuda/runtime/launch.h"
#include "engine/core/tensor.h"
#include "ops/create.h"

namespace plumb::bench::gpu {

const bool available = true;

namespace {

using cuda_backend::Grid;

constexpr int kBlock = 256;

__device__ int64_t place() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
Grid one_thread_each(int64_t count) { return {dim3(static_cast<unsigned>((count + kBlock - 1) / kBlock)), dim3(kBlock)}; }
Grid one_block_each(int64_t rows) { return {dim3(static_cast<unsigned>(rows)), dim3(kBlock)}; }

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Most {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Of all threads of the block, halving.
template <typename Join>
__device__ float joined(float mine, Join join) {
  __shared__ float parts[kBlock];
  __syncthreads();
  parts[threadIdx.x] = mine;
  for (int half = kBlock / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) parts[threadIdx.x] = join(parts[threadIdx.x], parts[threadIdx.x + half]);
  }
  __syncthreads();
  return parts[0];
}

// Element (i, j) of a matrix lies at i * row + j * column.
struct Steps {
  int64_t row, column;
};

template <typename T>
__global__ void product_elements(const T* a, Steps a_steps, const T* b, Steps b_steps, T* c, int64_t m, int64_t n, int64_t k) {
  int64_t i = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y, j = place();
  if (i >= m || j >= n) return;
  float sum = 0;
  for (int64_t s = 0; s < k; ++s)
    sum += static_cast<float>(a[i * a_steps.row + s * a_steps.column]) * static_cast<float>(b[s * b_steps.row + j * b_steps.column]);
  c[i * n + j] = static_cast<T>(sum);
}

template <typename T>
__global__ void convolution_places(const T* x, const T* w, T* y, Convolution c, int64_t size, int64_t count) {
  int64_t at = place();
  if (at >= count) return;
  int64_t column = at % size, row = at / size % size, output = at / (size * size) % c.outputs, image = at / (size * size * c.outputs);
  float sum = 0;
  for (int64_t k = 0; k < c.channels; ++k)
    for (int64_t r = 0; r < c.kernel; ++r)
      for (int64_t s = 0; s < c.kernel; ++s) {
        int64_t i = row * c.stride - c.padding + r, j = column * c.stride - c.padding + s;
        if (i < 0 || i >= c.side || j < 0 || j >= c.side) continue;
        sum += static_cast<float>(w[((output * c.channels + k) * c.kernel + r) * c.kernel + s]) *
               static_cast<float>(x[((image * c.channels + k) * c.side + i) * c.side + j]);
      }
  y[at] = static_cast<T>(sum);
}

// A block has a query: its scores lie in shared memory.
template <typename T>
__global__ void attention_queries(const T* q, const T* k, const T* v, T* y, int64_t length, int64_t width) {
  float* weights = cuda_backend::dynamic_shared<float>();
  int64_t head = blockIdx.y, i = blockIdx.x;
  const T *query = q + (head * length + i) * width, *keys = k + head * length * width, *values = v + head * length * width;
  float most = -INFINITY, total = 0;
  for (int64_t j = threadIdx.x; j <= i; j += kBlock) {
    float score = 0;
    for (int64_t d = 0; d < width; ++d) score += static_cast<float>(query[d]) * static_cast<float>(keys[j * width + d]);
    most = fmaxf(most, weights[j] = score * rsqrtf(static_cast<float>(width)));
  }
  most = joined(most, Most());
  for (int64_t j = threadIdx.x; j <= i; j += kBlock) total += weights[j] = expf(weights[j] - most);
  total = joined(total, Sum());
  for (int64_t d = threadIdx.x; d < width; d += kBlock) {
    float sum = 0;
    for (int64_t j = 0; j <= i; ++j) sum += weights[j] * static_cast<float>(values[j * width + d]);
    y[(head * length + i) * width + d] = static_cast<T>(sum / total);
  }
}

template <typename T>
__global__ void softmax_rows(const T* x, T* y, int64_t columns) {
  const T* in = x + blockIdx.x * columns;
  T* out = y + blockIdx.x * columns;
  float most = -INFINITY, total = 0;
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) most = fmaxf(most, static_cast<float>(in[j]));
  most = joined(most, Most());
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) total += expf(static_cast<float>(in[j]) - most);
  total = joined(total, Sum());
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) out[j] = static_cast<T>(expf(static_cast<float>(in[j]) - most) / total);
}

template <typename T>
__global__ void cross_entropy_rows(const T* x, const int64_t* target, float* losses, int64_t columns) {
  const T* in = x + blockIdx.x * columns;
  float most = -INFINITY, total = 0;
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) most = fmaxf(most, static_cast<float>(in[j]));
  most = joined(most, Most());
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) total += expf(static_cast<float>(in[j]) - most);
  total = joined(total, Sum());
  if (threadIdx.x == 0) losses[blockIdx.x] = most + logf(total) - static_cast<float>(in[target[blockIdx.x]]);
}

template <typename T>
__global__ void layer_norm_rows(const T* x, const T* weight, const T* bias, T* y, int64_t columns) {
  const T* in = x + blockIdx.x * columns;
  float sum = 0, squares = 0, width = static_cast<float>(columns);
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) sum += static_cast<float>(in[j]);
  const float mean = joined(sum, Sum()) / width;
  for (int64_t j = threadIdx.x; j < columns; j += kBlock)
    squares += (static_cast<float>(in[j]) - mean) * (static_cast<float>(in[j]) - mean);
  const float scale = rsqrtf(joined(squares, Sum()) / width + 1e-5f);
  for (int64_t j = threadIdx.x; j < columns; j += kBlock)
    y[blockIdx.x * columns + j] =
        static_cast<T>((static_cast<float>(in[j]) - mean) * scale * static_cast<float>(weight[j]) + static_cast<float>(bias[j]));
}

template <typename T>
__global__ void row_sums(const T* x, T* y, int64_t columns) {
  float sum = 0;
  for (int64_t j = threadIdx.x; j < columns; j += kBlock) sum += static_cast<float>(x[blockIdx.x * columns + j]);
  sum = joined(sum, Sum());
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<T>(sum);
}

__global__ void copy_elements(const float* x, Steps x_steps, float* y, int64_t rows, int64_t columns) {
  if (int64_t at = place(); at < rows * columns) y[at] = x[at / columns * x_steps.row + at % columns * x_steps.column];
}

__global__ void embedding_rows(const float* weight, const int64_t* tokens, float* y, int64_t width) {
  for (int64_t j = threadIdx.x; j < width; j += kBlock) y[blockIdx.x * width + j] = weight[tokens[blockIdx.x] * width + j];
}

template <typename T, typename F>
__global__ void map_elements(const T* x, const T* other, T* y, int64_t count, F f) {
  if (int64_t at = place(); at < count) y[at] = static_cast<T>(f(static_cast<float>(x[at]), static_cast<float>(other[at])));
}
struct AddBoth {
  __device__ float operator()(float x, float y) const { return x + y; }
};
struct Gelu {
  __device__ float operator()(float x, float) const { return 0.5f * x * (1 + erff(x * 0.70710678f)); }
};
struct Silu {
  __device__ float operator()(float x, float) const { return x / (1 + expf(-x)); }
};

__global__ void adamw_elements(float* p, const float* g, float* m, float* v, int64_t count) {
  int64_t i = place();
  if (i >= count) return;
  m[i] = 0.9f * m[i] + 0.1f * g[i];
  v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
  p[i] = p[i] * (1 - 1e-6f) - 1e-4f * (m[i] / 0.1f) / (sqrtf(v[i] / 0.001f) + 1e-8f);
}

// f<float>() or f<bfloat16>().
template <typename F>
std::function<void()> of_type(DType type, F f) {
  return type == bf16 ? f.template operator()<bfloat16>() : f.template operator()<float>();
}

template <typename F>
std::function<void()> map(int64_t count, DType type, bool two, F f) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({count}, type), other = two ? normal({count}, type) : x, y = normal({count}, type);
    return [=]() mutable {
      cuda_backend::launch(map_elements<T, F>, one_thread_each(count), x.data<T>(), other.data<T>(), y.data<T>(), count, f);
    };
  });
}

}  // namespace

namespace plain {

std::function<void()> product(const Product& p, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor a = normal({p.m, p.k}, type), b = normal({p.k, p.n}, type), c = normal({p.m, p.n}, type);
    Steps a_steps = p.a_transposed ? Steps{1, p.m} : Steps{p.k, 1}, b_steps = p.b_transposed ? Steps{1, p.k} : Steps{p.n, 1};
    Grid grid{dim3(static_cast<unsigned>((p.n + 31) / 32), static_cast<unsigned>((p.m + 7) / 8)), dim3(32, 8)};
    return [=]() mutable {
      cuda_backend::launch(product_elements<T>, grid, a.data<T>(), a_steps, b.data<T>(), b_steps, c.data<T>(), p.m, p.n, p.k);
    };
  });
}

std::function<void()> convolution(const Convolution& c, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({c.n, c.channels, c.side, c.side}, type), w = normal({c.outputs, c.channels, c.kernel, c.kernel}, type),
           y = normal({c.n, c.outputs, c.out_side(), c.out_side()}, type);
    return [=]() mutable {
      cuda_backend::launch(convolution_places<T>, one_thread_each(y.numel()), x.data<T>(), w.data<T>(), y.data<T>(), c, c.out_side(),
                           y.numel());
    };
  });
}

std::function<void()> attention(int64_t heads, int64_t length, int64_t width, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor q = normal({heads, length, width}, type), k = normal({heads, length, width}, type), v = normal({heads, length, width}, type),
           y = normal({heads, length, width}, type);
    Grid grid{dim3(static_cast<unsigned>(length), static_cast<unsigned>(heads)), dim3(kBlock), static_cast<size_t>(length) * sizeof(float)};
    return [=]() mutable {
      cuda_backend::launch(attention_queries<T>, grid, q.data<T>(), k.data<T>(), v.data<T>(), y.data<T>(), length, width);
    };
  });
}

std::function<void()> softmax(int64_t rows, int64_t columns, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({rows, columns}, type), y = normal({rows, columns}, type);
    return [=]() mutable { cuda_backend::launch(softmax_rows<T>, one_block_each(rows), x.data<T>(), y.data<T>(), columns); };
  });
}

std::function<void()> cross_entropy(int64_t rows, int64_t columns, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({rows, columns}, type), target = integers(columns, {rows}), losses = normal({rows});
    return [=]() mutable {
      cuda_backend::launch(cross_entropy_rows<T>, one_block_each(rows), x.data<T>(), target.data<int64_t>(), losses.data<float>(), columns);
    };
  });
}

std::function<void()> layer_norm(int64_t rows, int64_t columns, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({rows, columns}, type), weight = normal({columns}, type), bias = normal({columns}, type),
           y = normal({rows, columns}, type);
    return [=]() mutable {
      cuda_backend::launch(layer_norm_rows<T>, one_block_each(rows), x.data<T>(), weight.data<T>(), bias.data<T>(), y.data<T>(), columns);
    };
  });
}

std::function<void()> sum_rows(int64_t rows, int64_t columns, DType type) {
  return of_type(type, [=]<typename T>() -> std::function<void()> {
    Tensor x = normal({rows, columns}, type), y = normal({rows}, type);
    return [=]() mutable { cuda_backend::launch(row_sums<T>, one_block_each(rows), x.data<T>(), y.data<T>(), columns); };
  });
}

std::function<void()> copy(int64_t rows, int64_t columns, bool transposed) {
  Tensor x = normal({rows, columns}), y = normal({rows, columns});
  Steps steps = transposed ? Steps{1, rows} : Steps{columns, 1};
  return [=]() mutable {
    cuda_backend::launch(copy_elements, one_thread_each(rows * columns), x.data<float>(), steps, y.data<float>(), rows, columns);
  };
}

std::function<void()> embedding(int64_t tokens, int64_t vocabulary, int64_t width) {
  Tensor weight = normal({vocabulary, width}), at = integers(vocabulary, {tokens}), y = normal({tokens, width});
  return [=]() mutable {
    cuda_backend::launch(embedding_rows, one_block_each(tokens), weight.data<float>(), at.data<int64_t>(), y.data<float>(), width);
  };
}

std::function<void()> add(int64_t count, DType type) { return map(count, type, true, AddBoth()); }
std::function<void()> gelu(int64_t count, DType type) { return map(count, type, false, Gelu()); }
std::function<void()> silu(int64_t count, DType type) { return map(count, type, false, Silu()); }

std::function<void()> adamw(int64_t count) {
  Tensor p = normal({count}), g = normal({count}), m = normal({count}), v = full({count}, 1.0, f32, device());
  return [=]() mutable {
    cuda_backend::launch(adamw_elements, one_thread_each(count), p.data<float>(), g.data<float>(), m.data<float>(), v.data<float>(), count);
  };
}

}  // namespace plain
}  // namespace plumb::bench::gpu
