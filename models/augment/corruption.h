// Corruptions: what cameras, weather and storage do to images, at five severities (Hendrycks & Dietterich, ICLR 2019), for measuring how a
// model stands a shift of its inputs. Images are f32 [B, C, H, W] in [0, 1] on the CPU, treated one by one, as in augment.h; results are
// clipped to [0, 1]; what is random comes from the generator, image by image.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::augment {

// -- one at a time, with their own parameter. All throw ValueError for one outside its range. ------------------------------------------

/// x + σ ε, ε standard normal.
Tensor gaussian_noise(const Tensor& images, double sigma, Generator& generator);
/// Poisson(x · photons) / photons: the fewer photons, the more noise.
Tensor shot_noise(const Tensor& images, double photons, Generator& generator);
/// A share of the numbers set to 0 or 1, with equal chances.
Tensor impulse_noise(const Tensor& images, double share, Generator& generator);
/// x + σ x ε.
Tensor speckle_noise(const Tensor& images, double sigma, Generator& generator);
/// Blurred by a normal distribution of deviation `sigma` pixels, cut at ⌈4 σ⌉, mirrored at the border.
Tensor gaussian_blur(const Tensor& images, double sigma);
/// The mean over a square of `side` (odd) pixels, the border repeated.
Tensor box_blur(const Tensor& images, int64_t side);
/// The mean over a disk of `radius` pixels, anti-aliased, mirrored at the border: an image out of focus.
Tensor defocus_blur(const Tensor& images, double radius);
/// The mean along a line of `length` ≥ 1 pixels, at a uniform angle an image, the border repeated.
Tensor motion_blur(const Tensor& images, double length, Generator& generator);
/// The mean of the image enlarged by 1, 1 + step, … up to `factor`, about its middle.
Tensor zoom_blur(const Tensor& images, double factor, double step = 0.02);
/// x + amount.
Tensor brighten(const Tensor& images, double amount);
/// m + factor (x − m), m the mean of each channel of each image.
Tensor reduce_contrast(const Tensor& images, double factor);
/// (x + amount · f) m / (m + amount), f a plasma fractal in [0, 1] whose octaves fall by `decay`, m the image's largest value.
Tensor fog(const Tensor& images, double amount, double decay, Generator& generator);
/// Every pixel moved by a smooth random field of root mean square `strength` pixels, white noise smoothed over `sigma` pixels; bilinear.
Tensor elastic(const Tensor& images, double strength, double sigma, Generator& generator);
/// Each block of `block` × `block` pixels, counted from the upper left corner (smaller at the far border), takes its mean.
Tensor pixelate(const Tensor& images, int64_t block);
/// Written and read back as JPEG of this quality (1 … 100). Throws ShapeError unless there are one or three channels.
Tensor jpeg_compression(const Tensor& images, int quality);

// -- by name and severity ---------------------------------------------------------------------------------------------------------------

enum class Corruption : uint8_t {
  gaussian_noise, shot_noise, impulse_noise, speckle_noise, gaussian_blur, defocus_blur, motion_blur,
  zoom_blur, fog, brightness, contrast, elastic, pixelate, jpeg
};
/// All of them, in this order; their names ("gaussian_noise", …).
const std::vector<Corruption>& all_corruptions();
const std::string& name(Corruption corruption);
/// Throws ValueError, listing the names, for another one.
Corruption corruption_named(const std::string& name);

/// The corruption at severity 1 … 5. Lengths are sized for 32 pixels and scale with the image's shorter side; strengths are the same for
/// every size. Throws ValueError for another severity.
Tensor corrupt(const Tensor& images, Corruption corruption, int severity, Generator& generator);

}  // namespace plumb::augment
