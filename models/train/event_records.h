// The records of TensorBoard's event files: Event protocol buffers, framed as TFRecord. A handful of fields does not need a code generator.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "models/train/histogram.h"

namespace plumb::train::event {

/// When: seconds since 1970, and the step.
struct Moment {
  double wall_time;
  int64_t step = 0;
};

/// The first of a file: that what follows is in the second version of the format.
std::string version(double wall_time);
/// A run goes on: what older files hold of this step and later ones is superseded.
std::string restart(const Moment& when);
std::string scalar(const Moment& when, const std::string& tag, double value);
std::string histogram(const Moment& when, const std::string& tag, const Histogram& histogram);
/// `png`: a PNG file's bytes, of which the first say how large it is. Throws ValueError if they are not those of a PNG file.
std::string image(const Moment& when, const std::string& tag, std::string_view png);
/// Markdown, which TensorBoard's text page shows.
std::string text(const Moment& when, const std::string& tag, const std::string& markdown);

/// The record in its frame: length, masked CRC-32C of the length, data, masked CRC-32C of the data.
std::string framed(const std::string& record);

}  // namespace plumb::train::event
