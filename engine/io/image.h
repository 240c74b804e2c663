// Images in files: PNG and JPEG to and from u8 tensors [height, width, channels].
#pragma once
#include <string>
#include <string_view>

#include "engine/core/tensor.h"

namespace plumb {

/// The image in the file at `path`, PNG or JPEG by its first bytes, as u8 [H, W, C]: C is 1 for grey, 2 for grey and alpha, 3 for red,
/// green, blue, 4 with alpha. PNG: palettes and 1-, 2-, 4-bit grey are expanded, 16 bits scaled to 8, transparency becomes alpha, gamma is
/// left as stored. JPEG: grey or RGB, not turned by EXIF. Throws IoError naming the file if it is neither, damaged, or CMYK.
Tensor load_image(const std::string& path);
/// load_image from the bytes of a file; errors call it `path`.
Tensor decode_image(std::string_view bytes, const std::string& path);
Tensor decode_png(std::string_view bytes, const std::string& path);
Tensor decode_jpeg(std::string_view bytes, const std::string& path);

/// Writes u8 [H, W] or [H, W, C], C from 1 to 4, as PNG, atomically. Throws DTypeError or ShapeError for another tensor.
void save_png(const std::string& path, const Tensor& image);
std::string encode_png(const Tensor& image);
/// Writes u8 [H, W] or [H, W, C], C 1 or 3, as JPEG, atomically. Throws also ValueError unless 1 ≤ quality ≤ 100.
void save_jpeg(const std::string& path, const Tensor& image, int quality = 95);
std::string encode_jpeg(const Tensor& image, int quality = 95);

}  // namespace plumb
