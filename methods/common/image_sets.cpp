// Looking for one of a set's files: all of them come together.
#include "methods/common/image_sets.h"

#include "engine/data/files.h"

namespace plumb::methods {

bool images_there(const std::string& set) {
  return !data::find_optional_data_file(data::data_directory(), set, "train-images-idx3-ubyte").empty();
}

}  // namespace plumb::methods
