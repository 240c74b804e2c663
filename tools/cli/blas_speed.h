// How fast the BLAS is, and what pinning it to another processor's kernels costs.
#pragma once
#include <optional>
#include <string>

namespace plumb::tools {

/// The BLAS as it describes itself: version, build options, the kernels it chose.
std::string blas_description();
/// GFLOP/s of a 768³ product in f32 on one thread, the best of several; 0 if the product is wrong.
double blas_gflops();
/// blas_gflops() of a fresh process without OPENBLAS_CORETYPE; nothing if that process failed.
std::optional<double> blas_gflops_unpinned();

}  // namespace plumb::tools
