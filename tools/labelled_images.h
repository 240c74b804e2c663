// Images from what a user names, with labels or without: a directory or files in one of the published forms.
#pragma once
#include <string>
#include <vector>

#include "engine/data/dataset.h"

namespace plumb::tools {

struct LabelledImages {
  data::Dataset train, test;  ///< image [C, H, W] f32 in [0, 1], label i64
  std::vector<std::string> class_names;
  int64_t classes = 0;
  Shape shape;                ///< of an image
  bool own_test = true;       ///< the test part came as one; else it was split off
};

/// `names` is one of
///   "digits": the 8×8 digits that the library carries;
///   a directory with MNIST's four IDX files, CIFAR-10's or CIFAR-100's binary files, or a folder mnist, fashion_mnist or cifar10 with
///   them; a directory with folders train and test of class folders; or of class folders (PNG, JPEG), of which a tenth of each class, the
///   same at every seed, becomes the test part;
///   files: IDX images and labels of the training part, or of both parts (four files); CIFAR-10 batches, "test" in the name: the test part.
/// Throws IoError naming the file or folder that is missing, empty, damaged or has images of other sizes, ConfigError for parts that do
/// not fit together.
LabelledImages load_labelled_images(const std::vector<std::string>& names);
/// The same for what needs no labels: also a directory with nothing but images, and sets with a single class.
LabelledImages load_images(const std::vector<std::string>& names);

/// `names` as a run keeps them: absolute, so that it can be gone on with from anywhere.
std::vector<std::string> lasting_names(std::vector<std::string> names);
/// load_images for a run that goes on. Throws ConfigError unless their fingerprint is `sha256`.
LabelledImages load_same_images(const std::vector<std::string>& names, const std::string& sha256);
/// What a run on images [C, H, W] = `shape` is measured on, as the test part: that of its own data, which must not have changed, or, if
/// images are `given`, their test part, all of them where it was not one of its own and they are not the run's data; unlabelled ones are
/// taken if not `labelled`. Throws ConfigError for given images of another shape.
LabelledImages images_to_measure(const std::vector<std::string>& given, const std::vector<std::string>& own, const std::string& sha256,
                                 const Shape& shape, bool labelled = true);

/// The test part with the labels that a run has for its classes' names (`known`); as it is where one of the two has no names. Throws
/// ConfigError naming `source` and a class that the run does not know.
data::Dataset labelled_as(const LabelledImages& images, const std::vector<std::string>& known, const std::string& source);

/// The SHA-256 over the hashes of all files that `images` came from, in order.
std::string fingerprint(const LabelledImages& images);

}  // namespace plumb::tools
