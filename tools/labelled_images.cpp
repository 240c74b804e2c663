// Recognising forms of image sets by the files that are there.
#include "tools/labelled_images.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>

#include "engine/data/digits/digits.h"
#include "engine/data/image_folder.h"
#include "engine/data/images.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"
#include "engine/io/sha256.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;

/// The file in `directory` as it is named or gzipped; empty if there is neither.
std::string found(const std::string& directory, const std::string& file) {
  for (const std::string& path : {directory + "/" + file, directory + "/" + file + ".gz"})
    if (path_exists(path)) return path;
  return "";
}

std::string needed(const std::string& directory, const std::string& file) {
  std::string path = found(directory, file);
  if (path.empty()) throw IoError("images: " + directory + "/" + file + " is missing (with and without .gz)");
  return path;
}

LabelledImages split_off_test(const data::Dataset& all) {
  std::vector<data::Dataset> parts = all.split({0.9, 0.1}, {.seed = 0, .stratified = true});
  return {.train = parts[0], .test = parts[1], .own_test = false};
}

std::optional<LabelledImages> idx_directory(const std::string& directory) {
  if (found(directory, "train-images-idx3-ubyte").empty()) return {};
  auto part = [&](const std::string& name) {
    return data::idx_images(needed(directory, name + "-images-idx3-ubyte"), needed(directory, name + "-labels-idx1-ubyte"));
  };
  return LabelledImages{.train = part("train"), .test = part("t10k")};
}

std::optional<LabelledImages> cifar_directory(const std::string& directory) {
  if (!found(directory, "data_batch_1.bin").empty()) {
    std::vector<std::string> files;
    for (int i = 1; i <= 5; ++i)
      if (std::string file = found(directory, fmt::format("data_batch_{}.bin", i)); !file.empty()) files.push_back(file);
    return LabelledImages{.train = data::cifar_images(files),
                          .test = data::cifar_images({needed(directory, "test_batch.bin")}),
                          .class_names = data::cifar10(directory).class_names()};
  }
  if (found(directory, "train.bin").empty()) return {};
  return LabelledImages{.train = data::cifar_images({needed(directory, "train.bin")}, CifarKind::hundred),
                        .test = data::cifar_images({needed(directory, "test.bin")}, CifarKind::hundred)};
}

LabelledImages folder_of_folders(const std::string& directory) {
  if (!fs::is_directory(directory + "/train")) {
    data::ImageFolder all = data::image_folder(directory);
    LabelledImages images = split_off_test(all.data);
    images.class_names = all.class_names;
    return images;
  }
  if (!fs::is_directory(directory + "/test")) throw IoError("images: " + directory + " has a folder train but no folder test");
  data::ImageFolder train = data::image_folder(directory + "/train"), test = data::image_folder(directory + "/test");
  if (train.class_names != test.class_names)
    throw ConfigError(fmt::format("{}/train has {} class folders and {}/test {}, or they have other names; both need the same", directory,
                                  train.class_names.size(), directory, test.class_names.size()));
  return {.train = train.data, .test = test.data, .class_names = train.class_names};
}

bool has_subfolders(const std::string& directory) {
  return std::ranges::any_of(fs::directory_iterator(directory), [](const fs::directory_entry& e) {
    return e.is_directory() && !e.path().filename().string().starts_with(".");
  });
}

LabelledImages directory_set(const std::string& directory, bool labelled) {
  for (const std::string& place : {directory, directory + "/mnist", directory + "/fashion_mnist", directory + "/cifar10"}) {
    if (auto images = idx_directory(place)) return *images;
    if (auto images = cifar_directory(place)) return *images;
  }
  if (!labelled && !has_subfolders(directory)) return split_off_test(data::unlabelled_image_folder(directory).data);
  return folder_of_folders(directory);
}

// Whether the name of a file has a word that begins so: "test_batch.bin" and "my-test.bin", but not "latest.bin".
bool has_word(const std::string& file, const std::string& beginning) {
  std::string name = fs::path(file).filename().string();
  for (size_t at = name.find(beginning); at != std::string::npos; at = name.find(beginning, at + 1))
    if (at == 0 || !std::isalpha(static_cast<unsigned char>(name[at - 1]))) return true;
  return false;
}

bool is_test(const std::string& file) { return has_word(file, "test") || has_word(file, "t10k"); }

LabelledImages cifar_files(const std::vector<std::string>& files) {
  std::vector<std::string> train, test;
  for (const std::string& file : files) (is_test(file) ? test : train).push_back(file);
  if (train.empty()) throw ConfigError("--data " + files[0] + ": no file is of the training part (all have \"test\" in their names)");
  if (test.empty()) return split_off_test(data::cifar_images(train));
  return {.train = data::cifar_images(train), .test = data::cifar_images(test)};
}

// Images and labels are told apart by their rank.
data::Dataset idx_pair(std::vector<std::string> files) {
  if (files.size() != 2)
    throw ConfigError(fmt::format(
        "--data: {} of the {} part, not CIFAR's (.bin); give two IDX files, images and labels, or a directory of MNIST's or CIFAR's files "
        "or with a folder of images for each class",
        files.size() == 1 ? "one file" : fmt::format("{} files", files.size()), !files.empty() && is_test(files[0]) ? "test" : "training"));
  if (load_idx(files[0]).rank() == 1) std::swap(files[0], files[1]);
  return data::idx_images(files[0], files[1]);
}

LabelledImages idx_files(const std::vector<std::string>& files) {
  std::vector<std::string> train, test;
  for (const std::string& file : files) (is_test(file) ? test : train).push_back(file);
  if (test.empty()) return split_off_test(idx_pair(train));
  return {.train = idx_pair(train), .test = idx_pair(test)};
}

LabelledImages recognised(const std::vector<std::string>& names, bool labelled) {
  if (names.size() == 1 && names[0] == "digits" && !path_exists(names[0])) {
    data::DatasetParts digits = data::digits();
    return {.train = digits.train(), .test = digits.test(), .class_names = digits.class_names()};
  }
  for (const std::string& name : names)
    if (!path_exists(name))
      throw IoError("images: " + name +
                    " does not exist; give a path (`plumb data fetch mnist` makes data/mnist), or digits, which are built in");
  if (names.size() == 1 && fs::is_directory(names[0])) return directory_set(names[0], labelled);
  for (const std::string& name : names)
    if (fs::is_directory(name)) throw ConfigError("--data: give one directory, or files; " + name + " is a directory among several names");
  bool cifar = std::ranges::all_of(names, [](const std::string& n) { return n.ends_with(".bin") || n.ends_with(".bin.gz"); });
  return cifar ? cifar_files(names) : idx_files(names);
}

}  // namespace

static LabelledImages read_parts(const std::vector<std::string>& names, bool labelled) {
  if (names.empty())
    throw ConfigError(fmt::format("--data is missing: give a directory or files of {}images", labelled ? "labelled " : ""));
  return recognised(names, labelled);
}

// Fills in what images have in common. `name` is what they are called in errors.
static LabelledImages checked(LabelledImages images, const std::string& name) {
  if (images.train.size() == 0 || images.test.size() == 0)
    throw ConfigError(fmt::format("{}: the {} part has no images", name, images.train.size() == 0 ? "training" : "test"));
  images.shape = images.train[0].image.shape();
  if (Shape other = images.test[0].image.shape(); other != images.shape)
    throw ConfigError(
        fmt::format("{}: images of the test part are {}, those of the training part {}", name, to_string(other), to_string(images.shape)));
  std::vector<int64_t> train = images.train.labels(), test = images.test.labels();
  images.classes = std::max<int64_t>(*std::ranges::max_element(train) + 1, static_cast<int64_t>(images.class_names.size()));
  for (size_t i = 0; i < test.size(); ++i)
    if (test[i] >= images.classes)
      throw ConfigError(fmt::format("{}: label {} of test image {} is outside [0, {}), the labels of the training part", name, test[i], i,
                                    images.classes));
  return images;
}

LabelledImages load_labelled_images(const std::vector<std::string>& names) {
  LabelledImages images = checked(read_parts(names, true), names[0]);
  if (images.classes < 2) throw ConfigError(names[0] + ": all labels are 0; a classifier needs at least two classes");
  return images;
}

LabelledImages load_images(const std::vector<std::string>& names) { return checked(read_parts(names, false), names[0]); }

std::vector<std::string> lasting_names(std::vector<std::string> names) {
  for (std::string& name : names)
    if (name != "digits") name = fs::absolute(name).lexically_normal().string();
  return names;
}

LabelledImages load_same_images(const std::vector<std::string>& names, const std::string& sha256) {
  LabelledImages images = load_images(names);
  if (fingerprint(images) != sha256)
    throw ConfigError(names[0] +
                      " has changed since the run began; a resumed run would not be the same. Restore the images, or start a new run");
  return images;
}

LabelledImages images_to_measure(const std::vector<std::string>& given, const std::vector<std::string>& own, const std::string& sha256,
                                 const Shape& shape, bool labelled) {
  if (given.empty()) return load_same_images(own, sha256);
  LabelledImages images = read_parts(given, labelled);
  bool seen = fingerprint(images) == sha256;  // all but what was split off
  if (!images.own_test && !seen) {
    images.test = data::concat({images.train, images.test});
    if (images.train.size() == 0) images.train = images.test;  // of one image there are no two parts
  }
  images = checked(std::move(images), given[0]);
  if (images.shape != shape)
    throw ConfigError(fmt::format("{}: images are {}, those of the run {}", given[0], to_string(images.shape), to_string(shape)));
  return images;
}

data::Dataset labelled_as(const LabelledImages& images, const std::vector<std::string>& known, const std::string& source) {
  if (known.empty() || images.class_names.empty() || known == images.class_names) return images.test;
  std::vector<int64_t> label;
  for (const std::string& name : images.class_names) {
    auto found = std::ranges::find(known, name);
    if (found == known.end())
      throw ConfigError(fmt::format("{}: the run knows no class \"{}\"; it has {}", source, name, fmt::join(known, ", ")));
    label.push_back(found - known.begin());
  }
  return images.test.map("label", [label](const Tensor& l) { return scalar_tensor(label[static_cast<size_t>(l.item<int64_t>())], i64); });
}

std::string fingerprint(const LabelledImages& images) {
  std::string hashes;
  for (const data::Dataset* part : {&images.train, &images.test})
    for (const data::SourceHash& hash : part->source_hashes()) hashes += hash.sha256 + "\n";
  return sha256(hashes);
}

}  // namespace plumb::tools
