// The binary version of CIFAR-10 and CIFAR-100: records of label bytes and 3,072 bytes of red, green and blue planes.
#pragma once
#include <string>

#include "engine/core/tensor.h"

namespace plumb {

enum class CifarKind { ten, hundred };

struct CifarImages {
  Tensor image;         ///< u8 [N, 3, 32, 32]
  Tensor label;         ///< i64 [N], 0–9 or the fine label 0–99
  Tensor coarse_label;  ///< i64 [N], 0–19; undefined for CIFAR-10
};

/// The records of one file, gzipped or not. Throws IoError naming the file if it is truncated within a record, or a label (the record is
/// named) is outside its range.
CifarImages load_cifar(const std::string& path, CifarKind kind = CifarKind::ten);
/// Writes such a file, atomically; gzipped if the path ends in ".gz". Throws ShapeError, DTypeError or ValueError for images that are not
/// u8 [N, 3, 32, 32], labels that are not i64 [N] or outside the range.
void save_cifar(const std::string& path, const CifarImages& images);

}  // namespace plumb
