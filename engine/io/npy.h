// NumPy's array files: .npy holds one array, .npz a zip archive of named ones.
#pragma once
#include <string>
#include <string_view>

#include "engine/io/state_dict.h"

namespace plumb {

/// The array of a .npy file (format 1 to 3, either byte order, C or Fortran order), row-major on the CPU; the file may be gzipped.
/// float64, float32, float16, int64, int32, uint8 and bool keep their type; int8, int16, uint16 become i32, uint32 and uint64 i64.
/// Throws IoError naming the file for other types, a uint64 beyond i64, and a header or size that is wrong.
Tensor load_npy(const std::string& path);
/// load_npy from the bytes of a file; errors call it `path`.
Tensor parse_npy(std::string_view bytes, const std::string& path);
/// Writes `x`, of any strides and device, in C order, atomically. NumPy has no bfloat16: DTypeError.
void save_npy(const std::string& path, const Tensor& x);
/// The bytes that save_npy writes.
std::string npy_bytes(const Tensor& x);

/// The arrays of a .npz file by name, stored or deflated. Throws IoError naming the file, and the array, for a damaged archive
/// (checksums are compared), an encrypted one, a zip64 archive (over 4 GiB), or what load_npy refuses.
StateDict load_npz(const std::string& path);

struct NpzOptions {
  bool compress = true;  ///< deflate, or store as they are
};
/// Writes the arrays, atomically. Equal arrays give equal bytes. Throws as save_npy does; IoError beyond 4 GiB.
void save_npz(const std::string& path, const StateDict& arrays, NpzOptions options = {});

}  // namespace plumb
