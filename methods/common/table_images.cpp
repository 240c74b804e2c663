// The labelled images of common tables.
#include "methods/common/table_images.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "engine/data/shapes.h"

namespace plumb::methods {
namespace {

TableImages digits(bool small) {
  if (small) return {data::digits().train(), data::digits().test(), ImageKind::marks};
  return {data::mnist().train().take(10'000), data::mnist().test().take(4000), ImageKind::marks};
}

TableImages colours(bool small) {
  if (!small) return {data::cifar10().train(), data::cifar10().test(), ImageKind::photos};
  data::ShapeOptions one{.size = 12, .max_shapes = 1}, other = one;
  other.seed = 1;
  return {data::shapes(160, one), data::shapes(60, other), ImageKind::photos};
}

}  // namespace

TableImages table_images(std::string_view set, bool small) {
  if (set == kTableSets[0]) return digits(small);
  if (set == kTableSets[1]) return colours(small);
  throw ValueError(fmt::format("table_images: \"{}\" is unknown; choose {} or {}", set, kTableSets[0], kTableSets[1]));
}

}  // namespace plumb::methods
