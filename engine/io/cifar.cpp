// CIFAR's binary files.
#include "engine/io/cifar.h"

#include <cstring>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"

namespace plumb {
namespace {

constexpr size_t kPixels = 3 * 32 * 32;

uint8_t checked_label(int64_t label, int64_t classes, int64_t record) {
  if (label < 0 || label >= classes)
    throw ValueError("cifar: label " + std::to_string(label) + " of image " + std::to_string(record) + " is outside [0, " +
                     std::to_string(classes) + ")");
  return static_cast<uint8_t>(label);
}

}  // namespace

CifarImages load_cifar(const std::string& path, CifarKind kind) {
  std::string bytes = read_nonempty_file(path);
  size_t labels = kind == CifarKind::ten ? 1 : 2, record = labels + kPixels;
  int64_t classes = kind == CifarKind::ten ? 10 : 100;
  if (bytes.size() % record != 0)
    throw_io_error("cifar", path,
                   "is truncated or no CIFAR-" + std::to_string(classes) + " file: " + std::to_string(bytes.size()) +
                       " bytes are no whole number of records of " + std::to_string(record));
  int64_t count = static_cast<int64_t>(bytes.size() / record);
  CifarImages images{empty({count, 3, 32, 32}, u8, cpu, "load_cifar"), empty({count}, i64), labels == 2 ? empty({count}, i64) : Tensor()};
  for (int64_t i = 0; i < count; ++i) {
    const char* at = bytes.data() + static_cast<size_t>(i) * record;
    auto label = [&](size_t place, int64_t below) {
      int64_t value = static_cast<uint8_t>(at[place]);
      if (value >= below)
        throw_io_error("cifar", path,
                       "record " + std::to_string(i) + " has label " + std::to_string(value) + ", outside [0, " + std::to_string(below) +
                           "): the file is corrupt, or not CIFAR-" + std::to_string(classes));
      return value;
    };
    if (labels == 2) images.coarse_label.data<int64_t>()[i] = label(0, 20);
    images.label.data<int64_t>()[i] = label(labels - 1, classes);
    std::memcpy(images.image.data<uint8_t>() + static_cast<size_t>(i) * kPixels, at + labels, kPixels);
  }
  return images;
}

void save_cifar(const std::string& path, const CifarImages& images) {
  Tensor image = host_rows(images.image), label = host_rows(images.label);
  int64_t count = image.rank() > 0 ? image.size(0) : 0;
  if (image.shape() != Shape{count, 3, 32, 32})
    throw ShapeError("cifar: images must be [N, 3, 32, 32], these are " + to_string(image.shape()));
  if (label.shape() != Shape{count})
    throw ShapeError("cifar: labels must be [" + std::to_string(count) + "], these are " + to_string(label.shape()));
  bool hundred = images.coarse_label.defined();
  Tensor coarse = hundred ? host_rows(images.coarse_label) : Tensor();
  if (hundred && coarse.shape() != label.shape())
    throw ShapeError("cifar: coarse labels are " + to_string(coarse.shape()) + ", labels " + to_string(label.shape()));
  std::string bytes;
  bytes.reserve(static_cast<size_t>(count) * (kPixels + 2));
  for (int64_t i = 0; i < count; ++i) {
    if (hundred) bytes += static_cast<char>(checked_label(coarse.data<int64_t>()[i], 20, i));
    bytes += static_cast<char>(checked_label(label.data<int64_t>()[i], hundred ? 100 : 10, i));
    bytes.append(reinterpret_cast<const char*>(image.data<uint8_t>()) + static_cast<size_t>(i) * kPixels, kPixels);
  }
  write_data_file(path, bytes);
}

}  // namespace plumb
