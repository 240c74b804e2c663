// Image sets from IDX and CIFAR files.
#include "engine/data/images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "engine/data/files.h"
#include "engine/data/internal/tensor_source.h"
#include "engine/io/cifar.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"

namespace plumb::data {

namespace {

Dataset image_set(const Tensor& image, const Tensor& label, const std::vector<std::string>& files) {
  return Dataset(tensor_source({{"image", image, 255}, {"label", label}}, hash_files(files)));
}

/// IDX images [N, H, W] of bytes as [N, 1, H, W].
Tensor image_array(const std::string& path) {
  Tensor x = load_idx(path);
  if (x.dtype() != u8 || x.rank() != 3)
    throw_io_error("idx", path, fmt::format("holds {} {}; images are u8 [N, height, width]", name(x.dtype()), to_string(x.shape())));
  Shape shape = x.shape();
  shape.insert(1, 1);
  return view_of(x, shape, contiguous_strides(shape), 0);
}

/// IDX labels [N] of bytes below `classes` as i64.
Tensor label_array(const std::string& path, int64_t count, int64_t classes) {
  Tensor x = load_idx(path);
  if (x.dtype() != u8 || x.rank() != 1)
    throw_io_error("idx", path, fmt::format("holds {} {}; labels are u8 [N]", name(x.dtype()), to_string(x.shape())));
  if (x.numel() != count) throw_io_error("idx", path, fmt::format("has {} labels for {} images", x.numel(), count));
  Tensor label = empty({count}, i64, cpu, "idx");
  for (int64_t i = 0; i < count; ++i) {
    uint8_t l = x.data<uint8_t>()[i];
    if (l >= classes) throw_io_error("idx", path, fmt::format("label {} of image {} is outside [0, {})", l, i, classes));
    label.data<int64_t>()[i] = l;
  }
  return label;
}

Dataset idx_part(const std::string& set, const std::string& directory, const std::string& part) {
  std::string images = find_data_file(set, directory, set, part + "-images-idx3-ubyte");
  std::string labels = find_data_file(set, directory, set, part + "-labels-idx1-ubyte");
  return idx_images(images, labels, 10);
}

DatasetParts idx_set(const std::string& set, const std::string& directory, std::vector<std::string> class_names) {
  return DatasetParts([=] { return idx_part(set, directory, "train"); }, [=] { return idx_part(set, directory, "t10k"); },
                      std::move(class_names));
}

/// The training batches that are there; a gap before the last of them is an error.
std::vector<std::string> cifar_training_files(const std::string& directory) {
  int last = 1;
  auto file = [](int i) { return fmt::format("data_batch_{}.bin", i); };
  for (int i = 2; i <= 5; ++i)
    if (!find_optional_data_file(directory, "cifar10", file(i)).empty()) last = i;
  std::vector<std::string> files;
  for (int i = 1; i <= last; ++i) files.push_back(find_data_file("cifar10", directory, "cifar10", file(i)));
  return files;
}

Tensor joined(const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Tensor& p : parts) shape[0] += p.size(0);
  Tensor all = empty(shape, parts[0].dtype(), cpu, "cifar10");
  auto* out = static_cast<std::byte*>(all.raw_data());
  for (const Tensor& p : parts) {
    size_t bytes = static_cast<size_t>(p.numel()) * item_size(p.dtype());
    std::memcpy(out, p.raw_data(), bytes);
    out += bytes;
  }
  return all;
}

}  // namespace

Dataset idx_images(const std::string& images, const std::string& labels, int64_t classes) {
  Tensor image = image_array(images);
  return image_set(image, label_array(labels, image.size(0), classes), {images, labels});
}

Dataset cifar_images(const std::vector<std::string>& files, CifarKind kind) {
  std::vector<Tensor> images, labels;
  for (const std::string& path : files) {
    CifarImages part = load_cifar(path, kind);
    images.push_back(contiguous_data(part.image));
    labels.push_back(contiguous_data(part.label));
  }
  return image_set(joined(images), joined(labels), files);
}

DatasetParts mnist(const std::string& directory) { return idx_set("mnist", directory, {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}); }

DatasetParts fashion_mnist(const std::string& directory) {
  return idx_set("fashion_mnist", directory,
                 {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"});
}

DatasetParts cifar10(const std::string& directory) {
  return DatasetParts([=] { return cifar_images(cifar_training_files(directory)); },
                      [=] { return cifar_images({find_data_file("cifar10", directory, "cifar10", "test_batch.bin")}); },
                      {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
}

}  // namespace plumb::data
