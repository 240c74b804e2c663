// P classes times K examples.
#include "methods/common/class_batches.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace plumb::methods {

ClassBatches::ClassBatches(const Tensor& labels, int64_t classes, int64_t per_class) : classes_(classes), per_class_(per_class) {
  if (labels.rank() != 1) throw ShapeError("class_batches: labels must be a vector, they are " + to_string(labels.shape()));
  if (labels.dtype() != i64) throw DTypeError("class_batches: labels must be i64");
  if (classes < 1 || per_class < 2)
    throw ValueError(fmt::format("class_batches: {} classes of {} examples; pairs need at least 1 of 2", classes, per_class));
  std::map<int64_t, std::vector<int64_t>> places;
  std::vector<int64_t> all = to_vector<int64_t>(labels);
  for (size_t i = 0; i < all.size(); ++i) places[all[i]].push_back(static_cast<int64_t>(i));
  for (auto& [label, of] : places)
    if (of.size() >= 2) places_.push_back(std::move(of));
  if (static_cast<int64_t>(places_.size()) < classes)
    throw ValueError(fmt::format("class_batches: {} classes have two examples, a batch needs {}", places_.size(), classes));
}

Tensor ClassBatches::next(Generator& generator) const {
  std::vector<int64_t> out;
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(places_.size()), generator);
  for (int64_t c = 0; c < classes_; ++c) {
    const std::vector<int64_t>& of = places_[static_cast<size_t>(order[static_cast<size_t>(c)])];
    std::vector<int64_t> chosen = data::random_order(static_cast<int64_t>(of.size()), generator);
    for (int64_t k = 0; k < per_class_; ++k) {
      size_t at =
          static_cast<size_t>(k) < chosen.size() ? static_cast<size_t>(chosen[static_cast<size_t>(k)]) : generator.next_below(of.size());
      out.push_back(of[at]);
    }
  }
  return from_vector(out);
}

}  // namespace plumb::methods
