// Dense linear algebra by cuSOLVER, one matrix of a batch after the other. As LAPACK it stores by columns: a row-major matrix is its
// transpose there. Each kernel reads back whether the factorisations succeeded, and so waits for them. Bound: arithmetic, O(n³).
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cuda/libraries/library_handles.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/data_kernels.h"
#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/kernels/linalg.h"

namespace plumb::cuda_backend {
namespace {

template <typename S, typename D, typename F>
constexpr auto choose(D d, F f) {
  if constexpr (std::is_same_v<S, double>) return d;
  else return f;
}

int checked_int(const char* op, int64_t n) {
  if (n > std::numeric_limits<int>::max())
    throw ShapeError(std::string(op) + ": size " + std::to_string(n) + " is beyond cuSOLVER's 2147483647");
  return static_cast<int>(n);
}

template <typename T>
std::vector<T> read_back(const char* op, const Scratch<T>& x, int64_t count) {
  std::vector<T> host(static_cast<size_t>(count));
  check(cudaMemcpyAsync(host.data(), x.data(), host.size() * sizeof(T), cudaMemcpyDeviceToHost, current_stream()), op);
  synchronize_stream();
  return host;
}

// Runs body(i, info) for every matrix of the batch; returns what they wrote to their info.
template <typename Body>
std::vector<int> for_each_matrix(const char* op, int64_t count, Body&& body) {
  Scratch<int> info(count);
  for (int64_t i = 0; i < count; ++i) body(i, info.data() + i);
  return read_back(op, info, count);
}
void check_converged(const char* op, const std::vector<int>& info) {
  for (size_t i = 0; i < info.size(); ++i)
    if (info[i] != 0) throw ValueError(std::string(op) + ": batch " + std::to_string(i) + " did not converge");
}
[[noreturn]] void singular(const char* op, int64_t pivot, size_t batch) {
  throw ValueError(std::string(op) + ": the matrix is singular (pivot " + std::to_string(pivot) + " of batch " + std::to_string(batch) +
                   " is 0)");
}

// The diagonals of a [b, n, n], on the host.
std::vector<double> diagonals(const Tensor& a) {
  int64_t b = a.shape()[0], n = a.shape()[1];
  return to_vector<double>(view_of(a, {b, n}, {n * n, n + 1}, 0));
}

Tensor copy_of(const Tensor& a, const char* op) {
  Tensor copy = empty_like(a, op);
  kernel::copy(a.device(), a, copy);
  return copy;
}
void copy_into(const Tensor& from, Tensor& to) { kernel::copy(to.device(), from, to); }

void cholesky(const Tensor& a, Tensor& l) {
  int64_t count = a.size(0);
  int n = checked_int("cholesky", a.size(1));
  copy_into(a, l);
  visit_f32_f64("cholesky", a.dtype(), [&]<typename S>() {
    int size = 0;
    check(choose<S>(cusolverDnDpotrf_bufferSize, cusolverDnSpotrf_bufferSize)(cusolver(), CUBLAS_FILL_MODE_UPPER, n, l.data<S>(), n, &size),
          "cholesky");
    Scratch<S> work(size);
    std::vector<int> info = for_each_matrix("cholesky", count, [&](int64_t i, int* own) {
      check(choose<S>(cusolverDnDpotrf, cusolverDnSpotrf)(cusolver(), CUBLAS_FILL_MODE_UPPER, n, l.data<S>() + i * n * n, n, work.data(),
                                                          size, own),
            "cholesky");
    });
    std::vector<double> pivots = diagonals(l);  // NaN in a, which the library may overlook
    for (size_t p = 0; p < pivots.size(); ++p)
      if (int& own = info[p / static_cast<size_t>(n)]; own == 0 && !std::isfinite(pivots[p]))
        own = static_cast<int>(p % static_cast<size_t>(n)) + 1;
    for (size_t i = 0; i < info.size(); ++i)
      if (info[i] != 0)
        throw ValueError("cholesky: the matrix is not positive definite (leading minor " + std::to_string(info[i]) + " of batch " +
                         std::to_string(i) + ")");
  });
  NoGrad off;
  copy_into(tril(l), l);
}

// lu ← L U of each (transposed) matrix in it, with the rows exchanged as pivots [b, n] say. Returns each matrix's info.
template <typename S>
std::vector<int> factor(const char* op, Tensor& lu, Scratch<int>& pivots) {
  int n = checked_int(op, lu.size(1)), size = 0;
  check(choose<S>(cusolverDnDgetrf_bufferSize, cusolverDnSgetrf_bufferSize)(cusolver(), n, n, lu.data<S>(), n, &size), op);
  Scratch<S> work(size);
  return for_each_matrix(op, lu.size(0), [&](int64_t i, int* info) {
    check(choose<S>(cusolverDnDgetrf, cusolverDnSgetrf)(cusolver(), n, n, lu.data<S>() + i * n * n, n, work.data(), pivots.data() + i * n,
                                                        info),
          op);
  });
}

void solve(const char* op, const Tensor& a, const Tensor& b, Tensor& x) {
  int n = checked_int(op, a.size(1)), k = checked_int(op, b.size(1));
  Tensor lu = copy_of(a, op);
  copy_into(b, x);
  visit_f32_f64(op, a.dtype(), [&]<typename S>() {
    Scratch<int> pivots(a.size(0) * n);
    std::vector<int> info = factor<S>(op, lu, pivots);
    for (size_t i = 0; i < info.size(); ++i)
      if (info[i] > 0) singular(op, info[i] - 1, i);
    for_each_matrix(op, a.size(0), [&](int64_t i, int* own) {
      check(choose<S>(cusolverDnDgetrs, cusolverDnSgetrs)(cusolver(), CUBLAS_OP_T, n, k, lu.data<S>() + i * n * n, n, pivots.data() + i * n,
                                                          x.data<S>() + i * n * k, n, own),
            op);
    });
  });
}

void triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit, Tensor& x) {
  const char* op = "triangular_solve";
  int n = checked_int(op, a.size(1)), k = checked_int(op, b.size(1));
  if (!unit) {
    std::vector<double> pivots = diagonals(a);
    for (size_t p = 0; p < pivots.size(); ++p)
      if (pivots[p] == 0) singular(op, static_cast<int64_t>(p) % n, p / static_cast<size_t>(n));
  }
  copy_into(b, x);
  visit_f32_f64(op, a.dtype(), [&]<typename S>() {
    S one = 1;
    for (int64_t i = 0; i < a.size(0); ++i)
      check(choose<S>(cublasDtrsm, cublasStrsm)(cublas(), CUBLAS_SIDE_LEFT, upper ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER,
                                                CUBLAS_OP_T, unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT, n, k, &one,
                                                a.data<S>() + i * n * n, n, x.data<S>() + i * n * k, n),
            op);
  });
}

// The factorisation is the GPU's; the products of n numbers are the host's.
void slogdet(const Tensor& a, Tensor& sign, Tensor& logabs) {
  int64_t count = a.size(0), n = a.size(1);
  Tensor lu = copy_of(a, "slogdet");
  Scratch<int> pivots(count * n);
  visit_f32_f64("slogdet", a.dtype(), [&]<typename S>() { factor<S>("slogdet", lu, pivots); });
  std::vector<double> d = diagonals(lu), signs, logs;
  std::vector<int> rows = read_back("slogdet", pivots, count * n);
  for (int64_t i = 0; i < count; ++i) {
    double turn = 1, sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      auto at = static_cast<size_t>(i * n + j);
      turn *= (rows[at] == j + 1 ? 1 : -1) * (d[at] > 0 ? 1.0 : d[at] < 0 ? -1.0 : d[at]);
      sum += std::log(std::abs(d[at]));
    }
    signs.push_back(turn);
    logs.push_back(sum);
  }
  copy_into(from_vector(signs), sign);
  copy_into(from_vector(logs), logabs);
}

// The library sees aᵀ = v diag(s) uᵀ: its left vectors by columns are vh by rows; its right ones by columns are uᵀ by rows.
void svd(const Tensor& a, Tensor& u, Tensor& s, Tensor& vh) {
  int m = checked_int("svd", a.size(1)), n = checked_int("svd", a.size(2)), k = std::min(m, n);
  Tensor work_matrix = copy_of(a, "svd"), ut = empty({a.size(0), k, m}, a.dtype(), a.device(), "svd");
  gesvdjInfo_t parameters = nullptr;
  check(cusolverDnCreateGesvdjInfo(&parameters), "svd");
  visit_f32_f64("svd", a.dtype(), [&]<typename S>() {
    int size = 0;
    check(choose<S>(cusolverDnDgesvdj_bufferSize, cusolverDnSgesvdj_bufferSize)(cusolver(), CUSOLVER_EIG_MODE_VECTOR, 1, n, m,
                                                                                work_matrix.data<S>(), n, s.data<S>(), vh.data<S>(), n,
                                                                                ut.data<S>(), m, &size, parameters),
          "svd");
    Scratch<S> work(size);
    check_converged("svd", for_each_matrix("svd", a.size(0), [&](int64_t i, int* info) {
                      check(choose<S>(cusolverDnDgesvdj, cusolverDnSgesvdj)(
                                cusolver(), CUSOLVER_EIG_MODE_VECTOR, 1, n, m, work_matrix.data<S>() + i * m * n, n, s.data<S>() + i * k,
                                vh.data<S>() + i * k * n, n, ut.data<S>() + i * k * m, m, work.data(), size, info, parameters),
                            "svd");
                    }));
  });
  cusolverDnDestroyGesvdjInfo(parameters);
  copy_into(view_of(ut, u.shape(), {int64_t{k} * m, 1, m}, 0), u);
}

void qr(const Tensor& at, Tensor& qt, Tensor& r) {
  int n = checked_int("qr", at.size(1)), m = checked_int("qr", at.size(2)), k = std::min(m, n);
  int64_t count = at.size(0);
  Tensor columns = copy_of(at, "qr");
  visit_f32_f64("qr", at.dtype(), [&]<typename S>() {
    Scratch<S> tau(count * k);
    int size = 0, size_of_q = 0;
    check(choose<S>(cusolverDnDgeqrf_bufferSize, cusolverDnSgeqrf_bufferSize)(cusolver(), m, n, columns.data<S>(), m, &size), "qr");
    check(choose<S>(cusolverDnDorgqr_bufferSize, cusolverDnSorgqr_bufferSize)(cusolver(), m, k, k, columns.data<S>(), m, tau.data(),
                                                                              &size_of_q),
          "qr");
    Scratch<S> work(std::max(size, size_of_q));
    check_converged("qr", for_each_matrix("qr", count, [&](int64_t i, int* info) {
                      check(choose<S>(cusolverDnDgeqrf, cusolverDnSgeqrf)(cusolver(), m, n, columns.data<S>() + i * m * n, m,
                                                                          tau.data() + i * k, work.data(), size, info),
                            "qr");
                    }));
    copy_into(view_of(columns, r.shape(), {int64_t{m} * n, 1, m}, 0), r);
    check_converged("qr", for_each_matrix("qr", count, [&](int64_t i, int* info) {
                      check(choose<S>(cusolverDnDorgqr, cusolverDnSorgqr)(cusolver(), m, k, k, columns.data<S>() + i * m * n, m,
                                                                          tau.data() + i * k, work.data(), size_of_q, info),
                            "qr");
                    }));
  });
  copy_into(view_of(columns, qt.shape(), {int64_t{m} * n, m, 1}, 0), qt);
  NoGrad off;
  copy_into(triu(r), r);
}

void eigh(const Tensor& a, Tensor& w, Tensor& vt) {
  int n = checked_int("eigh", a.size(1));
  copy_into(a, vt);
  visit_f32_f64("eigh", a.dtype(), [&]<typename S>() {
    int size = 0;
    check(choose<S>(cusolverDnDsyevd_bufferSize, cusolverDnSsyevd_bufferSize)(cusolver(), CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER,
                                                                              n, vt.data<S>(), n, w.data<S>(), &size),
          "eigh");
    Scratch<S> work(size);
    check_converged(
        "eigh", for_each_matrix("eigh", a.size(0), [&](int64_t i, int* info) {
          check(choose<S>(cusolverDnDsyevd, cusolverDnSsyevd)(cusolver(), CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n,
                                                              vt.data<S>() + i * n * n, n, w.data<S>() + i * n, work.data(), size, info),
                "eigh");
        }));
  });
}

}  // namespace

void register_cusolver_linalg() {
  kernel::cholesky.set(DeviceType::cuda, cholesky);
  kernel::solve.set(DeviceType::cuda, solve);
  kernel::triangular_solve.set(DeviceType::cuda, triangular_solve);
  kernel::slogdet.set(DeviceType::cuda, slogdet);
  kernel::svd.set(DeviceType::cuda, svd);
  kernel::qr.set(DeviceType::cuda, qr);
  kernel::eigh.set(DeviceType::cuda, eigh);
}

}  // namespace plumb::cuda_backend
