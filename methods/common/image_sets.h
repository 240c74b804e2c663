// Published sets of images that may lie in the data directory.
#pragma once
#include <string>

namespace plumb::methods {

/// Whether the images of `set` ("mnist", "fashion_mnist") are there. Where they are not, experiments take the digits carried inside.
bool images_there(const std::string& set);

}  // namespace plumb::methods
