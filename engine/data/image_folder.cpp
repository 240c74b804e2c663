// Images in class folders, decoded at once or one by one.
#include "engine/data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "engine/data/internal/tensor_source.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/sha256.h"

namespace plumb::data {

namespace fs = std::filesystem;

namespace {

bool hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

bool is_image(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// What keep() accepts of the directory's entries, sorted by name.
template <typename Keep>
std::vector<std::string> entries(const std::string& directory, Keep keep) {
  std::vector<std::string> found;
  try {
    for (const fs::directory_entry& e : fs::directory_iterator(directory))
      if (!hidden(e.path()) && keep(e)) found.push_back(e.path().filename().string());
  } catch (const fs::filesystem_error& error) { throw_io_error("images", directory, error.code().message()); }
  std::sort(found.begin(), found.end());
  return found;
}

/// u8 [H, W, stored channels] as u8 [channels, H, W].
Tensor as_planes(const Tensor& image, int64_t channels) {
  int64_t height = image.size(0), width = image.size(1), stored = image.size(2);
  Tensor planes = empty({channels, height, width}, u8, cpu, "images");
  const uint8_t* from = image.data<uint8_t>();
  uint8_t* to = planes.data<uint8_t>();
  bool colour = stored >= 3;
  for (int64_t i = 0; i < height * width; ++i, from += stored)
    for (int64_t c = 0; c < channels; ++c) {
      if (channels == 1 && colour)
        to[i] = static_cast<uint8_t>((299 * from[0] + 587 * from[1] + 114 * from[2] + 500) / 1000);
      else
        to[c * height * width + i] = from[colour ? c : 0];
    }
  return planes;
}

Tensor load_planes(const std::string& path, int64_t channels) { return as_planes(load_image(path), channels); }

void check_same_size(const Tensor& image, const std::string& file, const Tensor& first, const std::string& first_file) {
  if (image.shape() == first.shape()) return;
  throw_io_error("images", file,
                 fmt::format("is {}×{}, {} is {}×{}; make them alike or allow any size", image.size(1), image.size(2), first_file,
                             first.size(1), first.size(2)));
}

SourceHash hash_of_folder(const std::string& folder, const std::vector<std::string>& files) {
  std::string lines;
  for (const std::string& file : files)
    lines += sha256_of_file(file) + "  " + fs::path(file).lexically_relative(folder).generic_string() + "\n";
  return {folder, sha256(lines)};
}

class LazyImages final : public Source {
 public:
  LazyImages(std::vector<std::string> files, std::vector<int64_t> labels, ImageFolderOptions options, SourceHash hash)
      : files_(std::move(files)),
        labels_(std::move(labels)),
        options_(options),
        hash_(std::move(hash)),
        first_(load_planes(files_[0], options.channels)) {}
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  int64_t label(int64_t at) const override { return labels_[static_cast<size_t>(at)]; }
  std::vector<SourceHash> source_hashes() const override { return {hash_}; }
  uint64_t fingerprint() const override {
    uint64_t f = static_cast<uint64_t>(size());
    for (char digit : hash_.sha256) f = mix(f, static_cast<unsigned char>(digit));
    return f;
  }

  Sample get(const Pick& pick) const override {
    const std::string& file = files_[static_cast<size_t>(pick.at)];
    Tensor bytes = load_planes(file, options_.channels);
    if (!options_.any_size) check_same_size(bytes, file, first_, files_[0]);
    Sample s;
    s.index = pick.at;
    s.image = empty(bytes.shape(), f32, cpu, "images");
    std::transform(bytes.data<uint8_t>(), bytes.data<uint8_t>() + bytes.numel(), s.image.data<float>(),
                   [](uint8_t b) { return static_cast<float>(b) / 255.0f; });
    s.label = empty({}, i64, cpu, "images");
    *s.label.data<int64_t>() = label(pick.at);
    return s;
  }

 private:
  std::vector<std::string> files_;
  std::vector<int64_t> labels_;
  ImageFolderOptions options_;
  SourceHash hash_;
  Tensor first_;
};

SourcePtr images_in_memory(const std::vector<std::string>& files, const std::vector<int64_t>& labels, int64_t channels, SourceHash hash) {
  Tensor first = load_planes(files[0], channels);
  Shape shape = first.shape();
  shape.insert(0, static_cast<int64_t>(files.size()));
  Tensor all = empty(shape, u8, cpu, "images");
  auto bytes = static_cast<size_t>(first.numel());
  for (size_t i = 0; i < files.size(); ++i) {
    Tensor image = i == 0 ? first : load_planes(files[i], channels);
    check_same_size(image, files[i], first, files[0]);
    std::memcpy(all.data<uint8_t>() + i * bytes, image.raw_data(), bytes);
  }
  return tensor_source({{"image", all, 255}, {"label", from_vector(labels)}}, {std::move(hash)});
}

}  // namespace

namespace {

void check(const ImageFolderOptions& options) {
  if (options.channels != 1 && options.channels != 3) throw ValueError(fmt::format("images: {} channels; 1 or 3", options.channels));
}

std::vector<std::string> image_files(const std::string& directory) {
  return entries(directory, [](const fs::directory_entry& e) { return e.is_regular_file() && is_image(e.path()); });
}

// folder.data from folder.files.
void read_files(ImageFolder& folder, const std::string& path, std::vector<int64_t> labels, const ImageFolderOptions& options) {
  SourceHash hash = hash_of_folder(path, folder.files);
  if (options.in_memory && !options.any_size)
    folder.data = Dataset(images_in_memory(folder.files, labels, options.channels, std::move(hash)));
  else
    folder.data = Dataset(std::make_shared<LazyImages>(folder.files, std::move(labels), options, std::move(hash)));
}

}  // namespace

ImageFolder image_folder(const std::string& path, ImageFolderOptions options) {
  check(options);
  ImageFolder folder;
  folder.class_names = entries(path, [](const fs::directory_entry& e) { return e.is_directory(); });
  if (folder.class_names.empty()) throw_io_error("images", path, "has no subfolders; each class has its own");
  std::vector<int64_t> labels;
  for (size_t c = 0; c < folder.class_names.size(); ++c)
    for (const std::string& file : image_files(path + "/" + folder.class_names[c])) {
      folder.files.push_back(path + "/" + folder.class_names[c] + "/" + file);
      labels.push_back(static_cast<int64_t>(c));
    }
  if (folder.files.empty()) throw_io_error("images", path, "has no .png, .jpg or .jpeg files in its subfolders");
  read_files(folder, path, std::move(labels), options);
  return folder;
}

ImageFolder unlabelled_image_folder(const std::string& path, ImageFolderOptions options) {
  check(options);
  ImageFolder folder;
  for (const std::string& file : image_files(path)) folder.files.push_back(path + "/" + file);
  if (folder.files.empty()) throw_io_error("images", path, "has no .png, .jpg or .jpeg files");
  return image_list(std::move(folder.files), path, options);
}

ImageFolder image_list(std::vector<std::string> files, const std::string& directory, ImageFolderOptions options) {
  check(options);
  if (files.empty()) throw ValueError("images: the list of files is empty");
  ImageFolder folder;
  folder.files = std::move(files);
  std::vector<int64_t> labels(folder.files.size(), 0);
  read_files(folder, directory, std::move(labels), options);
  return folder;
}

}  // namespace plumb::data
