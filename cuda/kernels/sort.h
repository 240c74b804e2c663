// What other kernels ask of sorting and scanning on the GPU.
#pragma once
#include <cstdint>

namespace plumb::cuda_backend {

/// The k smallest of each of `rows` rows of n in ascending order, and their places; equal ones as they come.
void smallest_of_rows(const double* x, int64_t rows, int64_t n, int64_t k, double* values, int64_t* places);
/// Running sums of each of `rows` rows of n, in place.
void running_sums(double* values, int64_t rows, int64_t n);

}  // namespace plumb::cuda_backend
