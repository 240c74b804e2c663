// The pin is read when OpenBLAS is loaded, so its cost is measured in a process of its own.
#include "tools/cli/blas_speed.h"

#include <cblas.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace plumb::tools {

std::string blas_description() { return std::string(openblas_get_config()) + ", kernels for " + openblas_get_corename(); }

double blas_gflops() {
  constexpr int n = 768;
  std::vector<float> a(n * n, 0.5f), b(n * n, 0.25f), c(n * n);
  openblas_set_num_threads(1);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    auto start = std::chrono::steady_clock::now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f, c.data(), n);
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * n * n * n / seconds.count() * 1e-9);
  }
  if (std::any_of(c.begin(), c.end(), [](float v) { return v != 0.125f * n; })) return 0;  // exact in f32
  return best;
}

std::optional<double> blas_gflops_unpinned() {
  std::string command = "env -u OPENBLAS_CORETYPE /proc/" + std::to_string(getpid()) + "/exe info --blas-speed 2>/dev/null";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> child(popen(command.c_str(), "r"), pclose);
  double gflops = 0;
  if (!child || std::fscanf(child.get(), "%lf", &gflops) != 1) return std::nullopt;
  return gflops;
}

}  // namespace plumb::tools
