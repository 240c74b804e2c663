// What a data set gives: one example as named tensors, and a batch of them.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::data {

/// Named tensors. The usual names are members, undefined where a data set has no such field; any other is reached by fields["name"].
struct Fields {
  Tensor image;     ///< [C, H, W], f32 in [0, 1] from the image sets
  Tensor features;  ///< a row of a table or a point
  Tensor tokens;    ///< the text that is read, i64
  Tensor label;     ///< the class, i64
  Tensor target;    ///< what is to be predicted: a number, or the tokens that follow

  bool has(std::string_view name) const;
  /// The tensor called `name`. Throws ValueError naming it and the fields there are.
  const Tensor& operator[](std::string_view name) const;
  /// Adds the field, or replaces it. An undefined value removes it.
  void set(std::string_view name, Tensor value);
  /// The names of the defined fields: the members in the order above, then the rest in the order in which they were added.
  std::vector<std::string> names() const;

 private:
  std::vector<std::pair<std::string, Tensor>> others_;
};

/// One example.
struct Sample : Fields {
  int64_t index = 0;  ///< its place in the data set it came from; kept by shuffle, filter and the like
};

/// Several examples: every field has one more dimension in front.
struct Batch : Fields {
  Tensor index;  ///< i64 [B], each example's Sample::index
  /// Number of examples.
  int64_t size() const { return index.numel(); }
  /// The same batch on `device`, copied where it is not there already.
  Batch to(Device device) const;
};

}  // namespace plumb::data
