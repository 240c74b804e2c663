// The cache as plain tensors that are written in place.
#include "models/nn/key_value_cache.h"

#include "engine/autograd/grad_mode.h"
#include "ops/index.h"
#include "ops/shape.h"

namespace plumb::nn {

KeyValueCache::KeyValueCache(int64_t layers, int64_t batch, int64_t heads, int64_t capacity, int64_t head_width, DType dtype,
                             Device device) {
  for (int64_t i = 0; i < layers; ++i)
    for (auto* list : {&keys, &values}) list->push_back(zeros({batch, heads, capacity, head_width}, dtype, device));
}

std::pair<Tensor, Tensor> KeyValueCache::extend(size_t layer, const Tensor& new_keys, const Tensor& new_values) {
  NoGrad off;
  int64_t end = length + new_keys.size(2);
  Shape held = keys[layer].shape(), expected{held[0], held[1], new_keys.size(2), held[3]};
  if (new_keys.shape() != expected || new_values.shape() != expected || end > held[2])
    throw ShapeError("key_value_cache: keys " + to_string(new_keys.shape()) + " and values " + to_string(new_values.shape()) + " behind " +
                     std::to_string(length) + " positions do not fit a cache of " + to_string(held));
  auto placed = [&](Tensor& all, const Tensor& added) {
    Tensor place = slice(all, 2, length, end);
    copy_data(added, place);
    return slice(all, 2, 0, end);
  };
  return {placed(keys[layer], new_keys), placed(values[layer], new_values)};
}

void KeyValueCache::reorder(const std::vector<int64_t>& rows) {
  NoGrad off;
  for (auto* list : {&keys, &values})
    for (Tensor& x : *list) x = index_select(x, 0, to(from_vector(rows), x.device()));
}

}  // namespace plumb::nn
