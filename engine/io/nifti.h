// NIfTI: images of medicine, volumes with their place in space.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

struct NiftiImage {
  /// [x, y, z, t, …], as many dimensions as the file says, row-major, scaled by the file's slope and intercept: f32, or f64 for files of
  /// f64 and of integers of 32 and 64 bits. Complex and colour files have a last axis of 2 (real, imaginary), 3 or 4.
  Tensor values;
  /// [4, 4] f64: voxel (i, j, k, 1) to millimetres, from the sform, else the qform, else the spacing alone.
  Tensor affine;
  std::vector<double> spacing;  ///< along each dimension of the file: millimetres, then seconds (or what the file uses)
  std::string description;
};

/// The image in a file .nii or .nii.gz, NIfTI-1 or NIfTI-2, of either byte order and of any of the standard's types but 128-bit floats; or
/// of a pair .hdr and .img, named by either. Throws IoError naming the file for what is no such image, is truncated, or is of another type.
NiftiImage load_nifti(const std::string& path);
/// load_nifti from the bytes of a single file; errors call it `path`.
NiftiImage parse_nifti(std::string_view bytes, const std::string& path);

/// Writes a NIfTI-1 file, gzipped if the path ends in ".gz", atomically: values of u8, i32, i64, f32 or f64 with up to seven dimensions as
/// they are; affine (undefined: from the spacing) as the sform; spacing may be empty (1). Throws DTypeError for another type, ShapeError
/// for more dimensions, a size beyond 32,767 or a spacing of another length.
void save_nifti(const std::string& path, const NiftiImage& image);

}  // namespace plumb
