// Embedding and embedding bags on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include "ops/kernels/embedding.h"
#include "ops/pointwise.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

// Most of them 3: a long segment beside short ones.
Tensor tokens(int64_t n, int64_t rows, uint64_t seed) {
  Generator g(seed);
  std::vector<int64_t> t(static_cast<size_t>(n));
  for (int64_t& v : t) v = g.next_below(2) ? 3 : static_cast<int64_t>(g.next_below(static_cast<uint64_t>(rows)));
  return from_vector(t);
}

}  // namespace

TEST_CASE("embedding: rows of every type and width, and a row of zeros") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t columns : {int64_t{1}, int64_t{7}, int64_t{64}})
      for (DType index_type : {i64, i32})
        for (int64_t zero_row : {int64_t{-1}, int64_t{3}}) {
          Tensor weight = sample({11, columns}, 1, t), index = tokens(300, 11, 2), y = empty({300, columns}, t),
                 gpu_y = empty({300, columns}, t, kGpu);
          Tensor narrow = empty({300}, index_type);
          copy_data(index, narrow);
          kernel::embedding(cpu, weight, narrow, zero_row, y);
          kernel::embedding(kGpu, to_gpu(weight), to_gpu(narrow), zero_row, gpu_y);
          CHECK(same(to_cpu(gpu_y), y));
        }
}

TEST_CASE("embedding: gradients agree with the CPU's, however uneven the indices, with the same bits every time") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{64}, int64_t{700}})
      for (int64_t columns : {int64_t{1}, int64_t{33}, int64_t{300}}) {
        DType c = compute_dtype(t);
        Tensor dy = sample({n, columns}, 3, t), index = tokens(n, 20, 4), dw = empty({20, columns}, c),
               gpu_dw = empty({20, columns}, c, kGpu), again = empty({20, columns}, c, kGpu);
        for (int64_t skip : {int64_t{-1}, int64_t{3}}) {
          kernel::embedding_backward(cpu, dy, index, skip, dw);
          kernel::embedding_backward(kGpu, to_gpu(dy), to_gpu(index), skip, gpu_dw);
          kernel::embedding_backward(kGpu, to_gpu(dy), to_gpu(index), skip, again);
          INFO(name(t) << " n " << n << " columns " << columns << " skip " << skip);
          CHECK(difference(to_cpu(gpu_dw), dw) <= (t == f64 ? 1e-12 : 1e-4));
          CHECK(same(to_cpu(gpu_dw), to_cpu(again)));
        }
      }
}

TEST_CASE("embedding: an index outside is an error where the host next waits, and gives zeros") {
  Tensor y = empty({2, 3}, f32, kGpu), weight = to_gpu(sample({4, 3}, 1, f32)), index = to_gpu(from_vector(std::vector<int64_t>{1, -2}));
  kernel::embedding(kGpu, weight, index, -1, y);
  CHECK_THROWS_WITH_AS(to_cpu(y), "embedding: index -2 is outside [0, 4)", IndexError);
  CHECK(to_cpu(y).data<float>()[3] == 0);
}

TEST_CASE("embedding_bag: bags of any size, empty ones too, and their gradients") {
  for (DType t : {f64, f32, bf16})
    for (int64_t columns : {int64_t{1}, int64_t{40}}) {
      DType c = compute_dtype(t);
      Tensor weight = sample({9, columns}, 1, t), index = tokens(200, 9, 5), scale = sample({200}, 6, c), dy = sample({6, columns}, 7, t);
      Tensor starts = from_vector(std::vector<int64_t>{0, 5, 5, 130, 199, 199, 200});
      struct Results {
        Tensor y, dw, ds;
      };
      auto run = [&](Device d) {
        Results r{empty({6, columns}, t, d), empty({9, columns}, c, d), empty({200}, c, d)};
        kernel::embedding_bag(d, on(weight, d), on(index, d), on(starts, d), on(scale, d), r.y);
        kernel::embedding_bag_backward(d, on(dy, d), on(weight, d), on(index, d), on(starts, d), on(scale, d), r.dw, r.ds);
        return r;
      };
      Results host = run(cpu), gpu = run(kGpu);
      double small = t == f64 ? 1e-12 : 1e-4;
      CHECK(difference(to_cpu(gpu.y), host.y) <= (t == bf16 ? 0x1p-7 : small));
      CHECK(difference(to_cpu(gpu.dw), host.dw) <= small);
      CHECK(difference(to_cpu(gpu.ds), host.ds) <= small);
    }
}
