// PNG and JPEG.
#include "engine/io/animated_png.h"
#include "engine/io/image.h"
#include "tests/fuzz/target.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

Tensor picture(int64_t channels) {
  Tensor image = empty({9, 17, channels}, u8);
  for (int64_t i = 0; i < image.numel(); ++i) image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 5);
  return image;
}

std::vector<std::string> png_seeds() {
  std::vector<std::string> seeds;
  for (int64_t channels = 1; channels <= 4; ++channels) seeds.push_back(encode_png(picture(channels)));
  Tensor frames = zeros({2, 4, 4, 3}, u8);
  seeds.push_back(encode_animated_png(frames));
  return seeds;
}

}  // namespace

std::vector<Target> image_targets() {
  return {
      {"png", [](std::string_view bytes) { decode_png(bytes, "x.png"); }, png_seeds, "png"},
      {"jpeg", [](std::string_view bytes) { decode_jpeg(bytes, "x.jpg"); },
       [] { return std::vector{encode_jpeg(picture(1)), encode_jpeg(picture(3), 40)}; }, "jpeg"},
  };
}

}  // namespace plumb_fuzz
