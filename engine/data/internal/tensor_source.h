// Examples that are the rows of tensors in memory.
#pragma once
#include "engine/data/source.h"

namespace plumb::data {

/// One field: the rows of `values`. Bytes that stand for fractions are given as f32, each byte divided by `divisor`; 0 gives them as they
/// are.
struct Column {
  std::string name;
  Tensor values;
  float divisor = 0;
};

/// Throws as from_tensors; DTypeError for a divisor on anything but u8.
SourcePtr tensor_source(std::vector<Column> columns, std::vector<SourceHash> hashes = {});

}  // namespace plumb::data
