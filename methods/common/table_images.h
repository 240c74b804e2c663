// The labelled images that common tables are measured on, and what stands in for them where a table is only tried.
#pragma once
#include <array>
#include <string_view>

#include "engine/data/dataset.h"
#include "methods/common/image_views.h"

namespace plumb::methods {

inline constexpr std::array kTableSets{"handwritten digits", "colour images"};

struct TableImages {
  data::Dataset train, test;
  ImageKind kind;
};
/// One of kTableSets: the first 10,000 training and 4,000 test images of MNIST, or CIFAR-10's files that are there (engine/data/images.h,
/// read from PLUMB_DATA). `small`: the 8×8 digits carried inside, or 160 and 60 rendered shapes of 12×12 in four classes. Throws ValueError
/// for another name.
TableImages table_images(std::string_view set, bool small);

}  // namespace plumb::methods
