// Images and the texts that belong to them.
#pragma once
#include <string>
#include <vector>

#include "engine/data/dataset.h"

namespace plumb::data {

struct CaptionedImages {
  Dataset images;                     ///< image [C, H, W] f32 in [0, 1]; Sample::index is the place among the captions
  std::vector<std::string> captions;  ///< one for each image
};

/// The images that the CSV file at `path` names in its column "image", relative to the file's directory, with the texts of its column
/// "caption"; all images of one size, `channels` 1 or 3 as in image_folder. Throws IoError naming the file and the row for a column or a
/// field that is missing, and as image_folder does for images.
CaptionedImages captioned_images(const std::string& path, int64_t channels = 3);

}  // namespace plumb::data
