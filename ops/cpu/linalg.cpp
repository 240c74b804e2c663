// Dense linear algebra on the CPU by OpenBLAS's LAPACK, one matrix of a batch a thread; OpenBLAS itself runs single-threaded, so results
// do not depend on the number of threads. LAPACK stores by columns: a row-major matrix is its transpose there. Bound: arithmetic, O(n³).
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/parallel.h"
#include "ops/kernels/linalg.h"

extern "C" {
void openblas_set_num_threads(int threads);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void dgetrf_(const int* m, const int* n, double* a, const int* lda, int* pivots, int* info);
void sgetrf_(const int* m, const int* n, float* a, const int* lda, int* pivots, int* info);
void dgetrs_(const char* trans, const int* n, const int* k, const double* a, const int* lda, const int* pivots, double* b, const int* ldb,
             int* info);
void sgetrs_(const char* trans, const int* n, const int* k, const float* a, const int* lda, const int* pivots, float* b, const int* ldb,
             int* info);
void dtrtrs_(const char* uplo, const char* trans, const char* diag, const int* n, const int* k, const double* a, const int* lda, double* b,
             const int* ldb, int* info);
void strtrs_(const char* uplo, const char* trans, const char* diag, const int* n, const int* k, const float* a, const int* lda, float* b,
             const int* ldb, int* info);
void dgesdd_(const char* job, const int* m, const int* n, double* a, const int* lda, double* s, double* u, const int* ldu, double* vt,
             const int* ldvt, double* work, const int* lwork, int* iwork, int* info);
void sgesdd_(const char* job, const int* m, const int* n, float* a, const int* lda, float* s, float* u, const int* ldu, float* vt,
             const int* ldvt, float* work, const int* lwork, int* iwork, int* info);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work, const int* lwork, int* info);
void sgeqrf_(const int* m, const int* n, float* a, const int* lda, float* tau, float* work, const int* lwork, int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau, double* work, const int* lwork,
             int* info);
void sorgqr_(const int* m, const int* n, const int* k, float* a, const int* lda, const float* tau, float* work, const int* lwork,
             int* info);
void dsyevd_(const char* job, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work, const int* lwork,
             int* iwork, const int* liwork, int* info);
void ssyevd_(const char* job, const char* uplo, const int* n, float* a, const int* lda, float* w, float* work, const int* lwork, int* iwork,
             const int* liwork, int* info);
}

namespace plumb::cpu_kernels {
namespace {

template <typename S, typename D, typename F>
constexpr auto choose(D d, F f) {
  if constexpr (std::is_same_v<S, double>) return d;
  else return f;
}

int fortran_int(const char* op, int64_t n) {
  if (n > std::numeric_limits<int>::max())
    throw ShapeError(std::string(op) + ": size " + std::to_string(n) + " is beyond LAPACK's 2147483647");
  return static_cast<int>(n);
}
// The size of the work space that LAPACK asked for, which it gives as an S.
template <typename S>
int work_size(const char* op, S wanted) {
  return fortran_int(op,
                     static_cast<int64_t>(static_cast<double>(wanted) * (1 + static_cast<double>(std::numeric_limits<S>::epsilon()))) + 1);
}

// Runs body(i) → LAPACK's info for every matrix of the batch; returns the first batch whose info is not 0 (or −1) and that info.
struct Failure {
  int64_t batch = -1;
  int info = 0;
};
template <typename Body>
Failure for_each_matrix(int64_t count, Body&& body) {
  std::vector<int> info(static_cast<size_t>(count));
  parallel_for(count, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) info[static_cast<size_t>(i)] = body(i);
  });
  for (int64_t i = 0; i < count; ++i)
    if (info[static_cast<size_t>(i)] != 0) return {i, info[static_cast<size_t>(i)]};
  return {};
}
void check_converged(const char* op, Failure f) {
  if (f.batch >= 0)
    throw ValueError(std::string(op) + ": batch " + std::to_string(f.batch) + " did not converge");
}
void check_pivots(const char* op, Failure f) {
  if (f.batch >= 0)
    throw ValueError(std::string(op) + ": the matrix is singular (pivot " + std::to_string(f.info - 1) + " of batch " +
                     std::to_string(f.batch) + " is 0)");
}

void cholesky(const Tensor& a, Tensor& l) {
  int64_t count = a.size(0);
  int n = fortran_int("cholesky", a.size(1));
  visit_f32_f64("cholesky", a.dtype(), [&]<typename S>() {
    int64_t size = int64_t{n} * n;
    std::copy_n(a.data<S>(), count * size, l.data<S>());
    Failure f = for_each_matrix(count, [&](int64_t i) {
      S* matrix = l.data<S>() + i * size;
      int info = 0;
      choose<S>(dpotrf_, spotrf_)("U", &n, matrix, &n, &info);
      for (int64_t row = 0; row < n; ++row) {
        std::fill(matrix + row * n + row + 1, matrix + (row + 1) * n, S(0));
        if (info == 0 && !std::isfinite(matrix[row * n + row])) info = static_cast<int>(row + 1);  // NaN in a, which potrf may overlook
      }
      return info;
    });
    if (f.batch >= 0)
      throw ValueError("cholesky: the matrix is not positive definite (leading minor " + std::to_string(f.info) + " of batch " +
                       std::to_string(f.batch) + ")");
  });
}

void solve(const char* op, const Tensor& a, const Tensor& b, Tensor& x) {
  int64_t count = a.size(0);
  int n = fortran_int(op, a.size(1)), k = fortran_int(op, b.size(1));
  visit_f32_f64(op, a.dtype(), [&]<typename S>() {
    std::copy_n(b.data<S>(), b.numel(), x.data<S>());
    check_pivots(op, for_each_matrix(count, [&](int64_t i) {
      const S* matrix = a.data<S>() + i * n * n;
      std::vector<S> lu(matrix, matrix + int64_t{n} * n);
      std::vector<int> pivots(static_cast<size_t>(n));
      int info = 0;
      choose<S>(dgetrf_, sgetrf_)(&n, &n, lu.data(), &n, pivots.data(), &info);
      if (info == 0) choose<S>(dgetrs_, sgetrs_)("T", &n, &k, lu.data(), &n, pivots.data(), x.data<S>() + i * n * k, &n, &info);
      return info;
    }));
  });
}

void triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit, Tensor& x) {
  const char* op = "triangular_solve";
  int64_t count = a.size(0);
  int n = fortran_int(op, a.size(1)), k = fortran_int(op, b.size(1));
  visit_f32_f64(op, a.dtype(), [&]<typename S>() {
    std::copy_n(b.data<S>(), b.numel(), x.data<S>());
    check_pivots(op, for_each_matrix(count, [&](int64_t i) {
      int info = 0;
      choose<S>(dtrtrs_, strtrs_)(upper ? "L" : "U", "T", unit ? "U" : "N", &n, &k, a.data<S>() + i * n * n, &n, x.data<S>() + i * n * k,
                                  &n, &info);
      return info;
    }));
  });
}

void slogdet(const Tensor& a, Tensor& sign, Tensor& logabs) {
  int n = fortran_int("slogdet", a.size(1));
  visit_f32_f64("slogdet", a.dtype(), [&]<typename S>() {
    for_each_matrix(a.size(0), [&](int64_t i) {
      const S* matrix = a.data<S>() + i * n * n;
      std::vector<S> lu(matrix, matrix + int64_t{n} * n);
      std::vector<int> pivots(static_cast<size_t>(n));
      int info = 0;
      choose<S>(dgetrf_, sgetrf_)(&n, &n, lu.data(), &n, pivots.data(), &info);
      double turn = 1, sum = 0;
      for (int j = 0; j < n; ++j) {
        double d = static_cast<double>(lu[static_cast<size_t>(j) * static_cast<size_t>(n + 1)]);
        turn *= (pivots[static_cast<size_t>(j)] == j + 1 ? 1 : -1) * (d > 0 ? 1.0 : d < 0 ? -1.0 : d);
        sum += std::log(std::abs(d));
      }
      sign.data<S>()[i] = static_cast<S>(turn);
      logabs.data<S>()[i] = static_cast<S>(sum);
      return 0;
    });
  });
}

// LAPACK sees aᵀ = v diag(s) uᵀ: its left vectors by columns are vh by rows, and its right ones u.
void svd(const Tensor& a, Tensor& u, Tensor& s, Tensor& vh) {
  int m = fortran_int("svd", a.size(1)), n = fortran_int("svd", a.size(2)), k = std::min(m, n);
  visit_f32_f64("svd", a.dtype(), [&]<typename S>() {
    check_converged("svd", for_each_matrix(a.size(0), [&](int64_t i) {
      const S* matrix = a.data<S>() + i * m * n;
      std::vector<S> copy(matrix, matrix + int64_t{m} * n);
      std::vector<int> iwork(static_cast<size_t>(8 * k));
      int info = 0, lwork = -1;
      S wanted = 0;
      auto run = [&](S* work) {
        choose<S>(dgesdd_, sgesdd_)("S", &n, &m, copy.data(), &n, s.data<S>() + i * k, vh.data<S>() + i * k * n, &n,
                                    u.data<S>() + i * m * k, &k, work, &lwork, iwork.data(), &info);
      };
      run(&wanted);
      lwork = work_size("svd", wanted);
      std::vector<S> work(static_cast<size_t>(lwork));
      run(work.data());
      return info;
    }));
  });
}

void qr(const Tensor& at, Tensor& qt, Tensor& r) {
  int n = fortran_int("qr", at.size(1)), m = fortran_int("qr", at.size(2)), k = std::min(m, n);
  visit_f32_f64("qr", at.dtype(), [&]<typename S>() {
    check_converged("qr", for_each_matrix(at.size(0), [&](int64_t i) {
      const S* matrix = at.data<S>() + i * m * n;
      std::vector<S> columns(matrix, matrix + int64_t{m} * n), tau(static_cast<size_t>(k));
      int info = 0, lwork = fortran_int("qr", 64 * int64_t{std::max(m, n)});
      std::vector<S> work(static_cast<size_t>(lwork));
      choose<S>(dgeqrf_, sgeqrf_)(&m, &n, columns.data(), &m, tau.data(), work.data(), &lwork, &info);
      S* upper = r.data<S>() + i * k * n;
      for (int64_t row = 0; row < k; ++row)
        for (int64_t column = 0; column < n; ++column)
          upper[row * n + column] = column < row ? S(0) : columns[static_cast<size_t>(column * m + row)];
      if (info == 0) choose<S>(dorgqr_, sorgqr_)(&m, &k, &k, columns.data(), &m, tau.data(), work.data(), &lwork, &info);
      std::copy_n(columns.data(), int64_t{m} * k, qt.data<S>() + i * m * k);
      return info;
    }));
  });
}

void eigh(const Tensor& a, Tensor& w, Tensor& vt) {
  int n = fortran_int("eigh", a.size(1));
  visit_f32_f64("eigh", a.dtype(), [&]<typename S>() {
    std::copy_n(a.data<S>(), a.numel(), vt.data<S>());
    check_converged("eigh", for_each_matrix(a.size(0), [&](int64_t i) {
      int info = 0, lwork = fortran_int("eigh", 1 + 6 * int64_t{n} + 2 * int64_t{n} * n), liwork = 3 + 5 * n;
      std::vector<S> work(static_cast<size_t>(lwork));
      std::vector<int> iwork(static_cast<size_t>(liwork));
      choose<S>(dsyevd_, ssyevd_)("V", "U", &n, vt.data<S>() + i * n * n, &n, w.data<S>() + i * n, work.data(), &lwork, iwork.data(),
                                  &liwork, &info);
      return info;
    }));
  });
}

}  // namespace

void register_linalg() {
  openblas_set_num_threads(1);
  kernel::cholesky.set(DeviceType::cpu, cholesky);
  kernel::solve.set(DeviceType::cpu, solve);
  kernel::triangular_solve.set(DeviceType::cpu, triangular_solve);
  kernel::slogdet.set(DeviceType::cpu, slogdet);
  kernel::svd.set(DeviceType::cpu, svd);
  kernel::qr.set(DeviceType::cpu, qr);
  kernel::eigh.set(DeviceType::cpu, eigh);
}

}  // namespace plumb::cpu_kernels
