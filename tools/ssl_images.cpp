// The folders that a semi-supervised run is given, and whether they fit together.
#include <fmt/format.h>

#include <algorithm>

#include "engine/data/image_folder.h"
#include "engine/io/sha256.h"
#include "tools/ssl_model.h"

namespace plumb::tools {
namespace {

std::string hashes_of(const data::Dataset& images) {
  std::string lines;
  for (const data::SourceHash& hash : images.source_hashes()) lines += hash.sha256 + "\n";
  return lines;
}

// Every class of a folder must have an example.
data::ImageFolder class_folders(const char* option, const std::string& path) {
  data::ImageFolder folder = data::image_folder(path);
  std::vector<int64_t> labels = folder.data.labels();
  for (size_t c = 0; c < folder.class_names.size(); ++c)
    if (std::ranges::find(labels, static_cast<int64_t>(c)) == labels.end())
      throw ConfigError(fmt::format("{} {}: the class \"{}\" has no image; each needs at least one", option, path, folder.class_names[c]));
  return folder;
}

Shape shape_of(const data::Dataset& images) { return images[0].image.shape(); }

void check_shape(const char* option, const std::string& path, const data::Dataset& images, const Shape& shape) {
  if (Shape other = shape_of(images); other != shape)
    throw ConfigError(fmt::format("{} {}: images are {}, those of --labelled {}", option, path, to_string(other), to_string(shape)));
}

}  // namespace

SslImages load_ssl_images(const SslRun& run) {
  SslImages images;
  data::ImageFolder labelled = class_folders("--labelled", run.labelled);
  require(labelled.class_names.size() >= 2, "--labelled " + run.labelled + ": has one class; a classifier needs at least two");
  images.labelled = labelled.data.renumber();
  images.class_names = labelled.class_names;
  images.shape = shape_of(labelled.data);
  std::string hashes = hashes_of(labelled.data);
  if (!run.unlabelled.empty()) {
    images.unlabelled = data::unlabelled_image_folder(run.unlabelled).data;
    check_shape("--unlabelled", run.unlabelled, images.unlabelled, images.shape);
    images.has_unlabelled = true;
    hashes += hashes_of(images.unlabelled);
  }
  if (!run.test.empty()) {
    data::ImageFolder test = class_folders("--test", run.test);
    require(test.class_names == labelled.class_names,
            fmt::format("--test {} has {} class folders and --labelled {}, or they have other names; both need the same", run.test,
                        test.class_names.size(), labelled.class_names.size()));
    check_shape("--test", run.test, test.data, images.shape);
    images.test = test.data;
    images.has_test = true;
    hashes += hashes_of(images.test);
  }
  images.sha256 = sha256(hashes);
  return images;
}

}  // namespace plumb::tools
