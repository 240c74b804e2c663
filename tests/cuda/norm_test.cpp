// Normalisation on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include "engine/core/channels_last.h"
#include "ops/kernels/norm.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

double tolerance(DType t) { return t == f64 ? 1e-12 : t == f32 ? 2e-5 : t == bf16 ? 0x1p-6 : 0x1p-8; }

// [n, C, s] on the device, stored with channels last or row-major.
Tensor moved(const Tensor& x, Device d, bool last) { return dense_data(on(x, d), last); }
Tensor moved(const Tensor& x, Device d) { return x.defined() ? on(x, d) : Tensor(); }
Tensor empty_if(bool wanted, const Shape& shape, DType t, Device d) { return wanted ? empty(shape, t, d) : Tensor(); }
void check_close(const Tensor& gpu, const Tensor& host, double tolerance) {
  REQUIRE(gpu.defined() == host.defined());
  if (host.defined()) CHECK(difference(to_cpu(gpu), host) <= tolerance);
}

// What a norm of rows or of groups gives, and its gradients.
struct Results {
  Tensor y, mean, rstd, dx, dw, db;
};
void check_close(const Results& gpu, const Results& host, DType t) {
  check_close(gpu.y, host.y, tolerance(t));
  check_close(gpu.mean, host.mean, t == f64 ? 1e-13 : 1e-5);
  check_close(gpu.rstd, host.rstd, t == f64 ? 1e-11 : 1e-4);
  check_close(gpu.dx, host.dx, tolerance(t) * 4);
  check_close(gpu.dw, host.dw, t == f64 ? 1e-11 : 2e-4);
  check_close(gpu.db, host.db, t == f64 ? 1e-11 : 2e-4);
}

}  // namespace

TEST_CASE("row_norm: held and streamed rows agree with the CPU's, centred and not, with every choice of parameters and gradients") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape :
         {Shape{5, 8}, Shape{3, 7}, Shape{40, 64}, Shape{600, 8}, Shape{3, 1040}, Shape{2, 1041}, Shape{2, 9000}, Shape{3, 1}, Shape{0, 4}})
      for (bool centred : {false, true})
        for (int parts : {0, 1, 3}) {  // bit 0: weight, bit 1: bias
          DType c = compute_dtype(t);
          int64_t rows = shape[0], n = shape[1];
          Tensor x = sample(shape, 1, t, -1, 3), dy = sample(shape, 2, t), w = parts & 1 ? sample({n}, 3, c) : Tensor(),
                 b = parts & 2 ? sample({n}, 4, c) : Tensor();
          auto run = [&](Device d) {
            Results r{empty(shape, t, d),
                      empty_if(centred, {rows}, c, d),
                      empty({rows}, c, d),
                      empty_if(parts != 1, shape, t, d),
                      empty_if(parts & 1, {n}, c, d),
                      empty_if(parts & 2, {n}, c, d)};
            Tensor none;
            kernel::row_norm(d, moved(x, d), {}, moved(w, d), moved(b, d), centred, 1e-5, none, r.y, r.mean, r.rstd);
            kernel::row_norm_backward(d, moved(dy, d), {}, moved(x, d), r.mean, r.rstd, moved(w, d), r.dx, none, r.dw, r.db);
            return r;
          };
          Results host = run(cpu), gpu = run(kGpu);
          INFO(name(t) << " " << to_string(shape) << (centred ? " centred" : "") << " parts " << parts);
          check_close(gpu, host, t);
        }
}

TEST_CASE("row_norm of a sum: held, streamed and misaligned rows agree with the CPU's for every pair of types, and sums have its bits") {
  struct Types {
    DType x, branch, y;
  };
  for (Types t : {Types{f32, bf16, bf16},
                  {f32, f16, f16},
                  {f32, f32, bf16},
                  {f32, bf16, f32},
                  {f32, bf16, f16},
                  {bf16, bf16, bf16},
                  {f16, f16, f16},
                  {f64, f64, f64}})
    for (const Shape& shape : {Shape{9, 8}, Shape{3, 7}, Shape{37, 200}, Shape{5, 768}, Shape{3, 1032}, Shape{1, 2056}, Shape{1, 5120},
                               Shape{1, 9000}, Shape{0, 16}})
      for (int64_t start : {0, 1})
        for (bool centred : {true, false}) {
          if ((start == 1 || t.branch == f16) && !centred) continue;
          DType c = compute_dtype(t.x);
          int64_t rows = shape[0], n = shape[1];
          auto part = [&](uint64_t seed, DType type, Device d) {
            return reshape(slice(on(sample({rows * n + 1}, seed, type), d), 0, start, start + rows * n), shape);
          };
          struct Results {
            Tensor sum, y, mean, rstd, dx, dbranch, dw, db;
          };
          auto run = [&](Device d) {
            Results r{empty(shape, t.x, d), empty(shape, t.y, d), empty_if(centred, {rows}, c, d),
                      empty({rows}, c, d),  empty(shape, t.x, d), empty_if(t.branch != t.x, shape, t.branch, d),
                      empty({n}, c, d),     empty({n}, c, d)};
            Tensor w = moved(sample({n}, 3, c), d), b = moved(sample({n}, 4, c), d);
            kernel::row_norm(d, part(1, t.x, d), part(2, t.branch, d), w, b, centred, 1e-5, r.sum, r.y, r.mean, r.rstd);
            kernel::row_norm_backward(d, part(5, t.y, d), part(6, t.x, d), r.sum, r.mean, r.rstd, w, r.dx, r.dbranch, r.dw, r.db);
            return r;
          };
          Results host = run(cpu), gpu = run(kGpu);
          INFO(name(t.x) << " + " << name(t.branch) << " to " << name(t.y) << " " << to_string(shape) << " from " << start
                         << (centred ? " centred" : ""));
          CHECK(same(to_cpu(gpu.sum), host.sum));
          check_close(gpu.y, host.y, tolerance(t.y));
          check_close(gpu.rstd, host.rstd, t.x == f64 ? 1e-11 : 1e-4);
          check_close(gpu.dx, host.dx, tolerance(t.x) * 4);
          check_close(gpu.dbranch, host.dbranch, tolerance(t.branch) * 4);
          if (gpu.dbranch.defined()) CHECK(same(to_cpu(gpu.dbranch), to(to_cpu(gpu.dx), t.branch)));
          check_close(gpu.dw, host.dw, t.x == f64 ? 1e-11 : 2e-4);
          check_close(gpu.db, host.db, t.x == f64 ? 1e-11 : 2e-4);
        }
}

TEST_CASE("row_norm: the gradients of parameters have the same bits every time") {
  Tensor x = to_gpu(sample({3000, 72}, 1, f32)), dy = to_gpu(sample({3000, 72}, 2, f32)), y = empty({3000, 72}, f32, kGpu),
         mean = empty({3000}, f32, kGpu), rstd = empty({3000}, f32, kGpu);
  Tensor dx, dw[2], db, none;
  kernel::row_norm(kGpu, x, {}, {}, {}, true, 1e-5, none, y, mean, rstd);
  for (Tensor& w : dw) {
    w = empty({72}, f32, kGpu);
    kernel::row_norm_backward(kGpu, dy, {}, x, mean, rstd, {}, dx, none, w, db);
  }
  CHECK(same(to_cpu(dw[0]), to_cpu(dw[1])));
}

TEST_CASE("group_norm: agrees with the CPU's for spaces of one element, odd ones and many, with weights and without, in either order") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{3, 6, 1}, Shape{2, 4, 49}, Shape{2, 8, 64}, Shape{1, 4, 3000}, Shape{2, 6, 2}, Shape{0, 4, 3},
                               Shape{1, 2, 9000}, Shape{2, 80, 37}, Shape{1, 2064, 3}})
      for (bool affine : {false, true}) {
        DType c = compute_dtype(t);
        int64_t groups = 2, count = shape[0] * groups, channels = shape[1];
        Tensor x = sample(shape, 1, t, -1, 3), dy = sample(shape, 2, t), w = affine ? sample({channels}, 3, c) : Tensor(),
               b = affine ? sample({channels}, 4, c) : Tensor();
        auto run = [&](Device d, bool last) {
          Results r{empty_in_order(shape, t, d, "y", last),
                    empty({count}, c, d),
                    empty({count}, c, d),
                    empty_in_order(shape, t, d, "dx", last),
                    empty_if(affine, {channels}, c, d),
                    empty_if(affine, {channels}, c, d)};
          kernel::group_norm(d, moved(x, d, last), groups, moved(w, d), moved(b, d), 1e-5, r.y, r.mean, r.rstd);
          kernel::group_norm_backward(d, moved(dy, d, last), moved(x, d, last), groups, r.mean, r.rstd, moved(w, d), r.dx, r.dw, r.db);
          return r;
        };
        Results host = run(cpu, false);
        for (bool last : {false, true}) {
          Results gpu = run(kGpu, last);
          INFO(name(t) << " " << to_string(shape) << (affine ? " affine" : "") << (last ? " channels last" : ""));
          check_close(gpu, host, t);
        }
      }
}

TEST_CASE(
    "batch norm: moments, norm and gradients agree with the CPU's, with moments that depend on x and constant ones, in either order") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& shape : {Shape{7, 5, 1}, Shape{3, 4, 49}, Shape{2, 3, 64}, Shape{300, 8, 2}, Shape{1, 2, 9000}, Shape{2, 1, 30},
                               Shape{3, 24, 41}, Shape{2, 2064, 3}})
      for (bool moments : {false, true})
        for (bool affine : {false, true}) {
          if (shape[1] > 100 && !(moments && affine)) continue;  // several strips of channels: once a type
          DType c = compute_dtype(t);
          int64_t channels = shape[1];
          Tensor x = sample(shape, 1, t, 4, 8), dy = sample(shape, 2, t), w = affine ? sample({channels}, 3, c) : Tensor(),
                 b = affine ? sample({channels}, 4, c) : Tensor();
          Tensor rstd = sample({channels}, 5, c, 0.5, 2);
          struct Results {
            Tensor mean, variance, inverse, y, dx, dw, db;
          };
          auto run = [&](Device d, bool last) {
            Results r{empty({channels}, c, d),
                      empty({channels}, c, d),
                      empty({channels}, c, d),
                      empty_in_order(shape, t, d, "y", last),
                      empty_in_order(shape, t, d, "dx", last),
                      empty_if(affine, {channels}, c, d),
                      empty_if(affine, {channels}, c, d)};
            kernel::channel_moments(d, moved(x, d, last), 1e-5, r.mean, r.variance, r.inverse);
            kernel::channel_norm(d, moved(x, d, last), r.mean, moved(rstd, d), moved(w, d), moved(b, d), r.y);
            kernel::channel_norm_backward(d, moved(dy, d, last), moved(x, d, last), r.mean, moved(rstd, d), moved(w, d), moments, r.dx,
                                          r.dw, r.db);
            return r;
          };
          Results host = run(cpu, false);
          for (bool last : {false, true}) {
            Results gpu = run(kGpu, last);
            INFO(name(t) << " " << to_string(shape) << (moments ? " moments" : "") << (affine ? " affine" : "")
                         << (last ? " channels last" : ""));
            check_close(gpu.mean, host.mean, t == f64 ? 1e-13 : 1e-6);
            check_close(gpu.variance, host.variance, t == f64 ? 1e-12 : 1e-5);
            check_close(gpu.inverse, host.inverse, t == f64 ? 1e-12 : 1e-4);
            check_close(gpu.y, host.y, tolerance(t));
            check_close(gpu.dx, host.dx, tolerance(t) * 4);
            check_close(gpu.dw, host.dw, t == f64 ? 1e-11 : 1e-3);
            check_close(gpu.db, host.db, t == f64 ? 1e-11 : 1e-3);
          }
        }
}

TEST_CASE("running statistics: move as on the CPU, in every type, with and without a count") {
  for (DType t : {f64, f32, bf16, f16})
    for (bool counted : {false, true}) {
      const Tensor mean = sample({300}, 1, f32), variance = sample({300}, 2, f32, 0.5, 2);
      struct Results {
        Tensor mean, variance, batches;
      };
      auto run = [&](Device d) {
        Results r{on(sample({300}, 3, t), d), on(sample({300}, 4, t, 0.5, 2), d), counted ? on(tensor({6}), d) : Tensor()};
        kernel::running_statistics(d, on(mean, d), on(variance, d), 1.25, 0.1, r.mean, r.variance, r.batches);
        return r;
      };
      Results host = run(cpu), gpu = run(kGpu);
      CHECK(difference(to_cpu(gpu.mean), host.mean) <= (t == f64 ? 1e-15 : t == f32 ? 1e-6 : 0x1p-7));
      CHECK(difference(to_cpu(gpu.variance), host.variance) <= (t == f64 ? 1e-15 : t == f32 ? 1e-6 : 0x1p-7));
      if (counted) CHECK(to_cpu(gpu.batches).item<int64_t>() == 7);
    }
}

TEST_CASE("batch norm: sums of channels side by side have the same bits every time, and small variances around a large mean survive") {
  Tensor x = sample({64, 24, 300}, 1, bf16, 100, 100.5), last = dense_data(to_gpu(x), true), rows = to_gpu(x);
  Tensor mean[3], variance[3], rstd = empty({24}, f32, kGpu);
  for (int i = 0; i < 3; ++i) {
    mean[i] = empty({24}, f32, kGpu), variance[i] = empty({24}, f32, kGpu);
    kernel::channel_moments(kGpu, i < 2 ? last : rows, 1e-5, mean[i], variance[i], rstd);
  }
  CHECK(same(to_cpu(mean[0]), to_cpu(mean[1])));
  CHECK(same(to_cpu(variance[0]), to_cpu(variance[1])));
  CHECK(difference(to_cpu(mean[0]), to_cpu(mean[2])) <= 1e-5);
  for (size_t c = 0; c < 24; ++c)
    CHECK(to_vector(to_cpu(variance[0]))[c] == doctest::Approx(to_vector(to_cpu(variance[2]))[c]).epsilon(1e-4));
}
