// The matrix product on the CPU. One blocked algorithm for every shape and type, on kernels for each instruction set (kernels.h).
#pragma once
#include <cstdint>
#include <optional>
#include <tuple>

#include "ops/cpu/gemm/pack.h"
#include "ops/cpu/gemm/scratch.h"

namespace plumb::gemm {

/// Element (i, j) of a matrix lies at data[i · row + j · column]. Any strides, zero and negative ones included: a transpose swaps them.
template <typename T>
struct MatrixView {
  const T* data;
  int64_t row, column;
};

/// What happens to a product on its way to memory: out = activation(product + bias).
template <typename T>
struct Epilogue {
  using Value = Accumulator<T>;
  const T* bias = nullptr;                                 ///< n values, one a column; null: none
  void (*activation)(Value* values, int64_t n) = nullptr;  ///< maps n values in place, each by itself; null: none
  T* before_activation = nullptr;                          ///< if set, receives product + bias, laid out as C
};

/// C [m, n] = A [m, k] · B [k, n], or C += A · B with `accumulate`, then the epilogue. Row i of C is contiguous at c + i · c_row.
/// T is float, double, bfloat16 or half; 16-bit types are multiplied and summed in float and rounded once. With k = 0 the product is
/// zero. C must overlap neither A nor B.
///
/// An element is a sum over blocks of at most 384 steps of k, each one chain of fused multiply-adds from the first step to the last:
/// it depends on its row of A, its column of B and k alone. So its bits are the same for any number of threads, on AVX2 and on AVX-512,
/// for any strides, and for any m and n (a batch of one gives what a batch of many gives).
/// bf16 on a machine with AVX-512 BF16 keeps all of this but one: blocks are of at most 768 steps, step 2p + 1 comes before step 2p, and
/// subnormal numbers count as zero, so its bits differ from those of other machines, by as little as sums in another order do.
template <typename T>
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t c_row, bool accumulate = false,
              const Epilogue<T>& epilogue = {});

/// A · B of bf16 with the sums themselves as the result, not rounded: C (= or +=) A · B in float.
void multiply(int64_t m, int64_t n, int64_t k, MatrixView<bfloat16> a, MatrixView<bfloat16> b, float* c, int64_t c_row,
              bool accumulate = false);

template <typename P>
struct Kernels;
/// A packed operand, and the kernels whose panels these are.
template <typename P>
struct Panels {
  Panels(const Kernels<P>& kernels, int64_t count) : kernels(kernels), elements(count) {}
  const Kernels<P>& kernels;
  Buffer<P> elements;
};

/// A right operand B [k, n] copied into the order that the kernels read, for weights that meet many inputs. Takes n rounded up to whole
/// panels times k accumulators (floats for 16-bit types; half of that for bf16 where there are dot products of it). Holds a copy: later
/// changes of `b` are not seen.
template <typename T>
class PackedMatrix {
 public:
  PackedMatrix(int64_t k, int64_t n, MatrixView<T> b);
  int64_t k() const { return k_; }
  int64_t n() const { return n_; }

 private:
  template <typename U>
  friend void multiply(int64_t m, MatrixView<U> a, const PackedMatrix<U>& b, U* c, int64_t c_row, bool accumulate, const Epilogue<U>&);
  int64_t k_, n_;
  // One of them.
  std::conditional_t<std::is_same_v<T, bfloat16>, std::tuple<std::optional<Panels<float>>, std::optional<Panels<Bf16Pair>>>,
                     std::tuple<std::optional<Panels<Accumulator<T>>>>>
      panels_;
};

/// The same product, to the bit, with a packed right operand: C [m, n] from A [m, k].
template <typename T>
void multiply(int64_t m, MatrixView<T> a, const PackedMatrix<T>& b, T* c, int64_t c_row, bool accumulate = false,
              const Epilogue<T>& epilogue = {});

/// `batch` products: number q works on a.data + q · a_batch, b.data + q · b_batch and c + q · c_batch (and before_activation likewise).
/// The products of C must not overlap; a batch stride of zero shares an operand. Bias and activation are the same for all.
template <typename T>
void multiply_batched(int64_t batch, int64_t m, int64_t n, int64_t k, MatrixView<T> a, int64_t a_batch, MatrixView<T> b, int64_t b_batch,
                      T* c, int64_t c_row, int64_t c_batch, bool accumulate = false, const Epilogue<T>& epilogue = {});

}  // namespace plumb::gemm
