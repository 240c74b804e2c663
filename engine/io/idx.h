// IDX, the format of MNIST: a type, the sizes, then the elements, all big-endian.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "engine/core/tensor.h"

namespace plumb {

/// The array of an IDX file, gzipped or not. u8, i32, f32 and f64 keep their type; i8 and i16 become i32.
/// Throws IoError naming the file if it is not IDX, truncated, or longer than its sizes say.
Tensor load_idx(const std::string& path);
/// What the first bytes of an IDX file say: where its elements begin, how many bytes each has, and the sizes.
struct IdxHeader {
  size_t bytes = 0, element_bytes = 0;
  Shape shape;
};
/// The header of `content`, the whole file at `path`, unpacked. Throws IoError naming `path` as load_idx does.
IdxHeader read_idx_header(std::string_view content, const std::string& path);
/// Writes a u8, i32, f32 or f64 tensor of rank 1 or more, any strides and device, atomically; gzipped if the path ends in ".gz".
/// Throws DTypeError for another type, ShapeError for rank 0 or a size beyond 32 bits.
void save_idx(const std::string& path, const Tensor& x);

}  // namespace plumb
