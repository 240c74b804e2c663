// An animated PNG is the PNG of its first frame with three kinds of chunks more: acTL says how many frames there are, an fcTL before each
// frame how long it is shown, and fdAT holds the data of further frames, which is what IDAT would. fcTL and fdAT are numbered in one row.
#include "engine/io/animated_png.h"

#include <zlib.h>

#include <string_view>

#include "engine/io/file.h"
#include "engine/io/image.h"

namespace plumb {
namespace {

void append_number(std::string& out, uint32_t value, int bytes = 4) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Length, type, data, and the checksum of type and data.
void append_chunk(std::string& out, std::string_view type, std::string_view data) {
  append_number(out, static_cast<uint32_t>(data.size()));
  std::string body(type);
  body += data;
  out += body;
  append_number(out, static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

// f(type, data) for each chunk of a PNG that encode_png wrote.
template <typename F>
void each_chunk(std::string_view png, F&& f) {
  for (size_t at = 8; at < png.size();) {
    uint32_t length = number_at(png, at);
    f(png.substr(at + 4, 4), png.substr(at + 8, length));
    at += 12 + length;
  }
}

class Animation {
 public:
  Animation(const Tensor& frames, int milliseconds) : frames_(frames), milliseconds_(milliseconds) {}

  std::string encoded() {
    int64_t count = frames_.size(0);
    for (int64_t f = 0; f < count; ++f) {
      Tensor frame = view_of(frames_, frames_.shape().slice(1, 4), frames_.strides().slice(1, 4), f * frames_.strides()[0]);
      std::string png = encode_png(frame);
      if (f == 0)
        append_first(png);
      else
        append_further(png);
    }
    append_chunk(out_, "IEND", "");
    return std::move(out_);
  }

 private:
  void append_first(std::string_view png) {
    out_ = png.substr(0, 8);
    bool begun = false;
    each_chunk(png, [&](std::string_view type, std::string_view data) {
      if (type == "IEND") return;
      if (type == "IDAT" && !begun) {
        begun = true;
        std::string control;
        append_number(control, static_cast<uint32_t>(frames_.size(0)));
        append_number(control, 0);  // plays for ever
        append_chunk(out_, "acTL", control);
        append_control();
      }
      append_chunk(out_, type, data);
    });
  }

  void append_further(std::string_view png) {
    append_control();
    each_chunk(png, [&](std::string_view type, std::string_view data) {
      if (type != "IDAT") return;
      std::string numbered;
      append_number(numbered, sequence_++);
      numbered += data;
      append_chunk(out_, "fdAT", numbered);
    });
  }

  // The whole image, at (0, 0), in the place of what was there.
  void append_control() {
    std::string control;
    append_number(control, sequence_++);
    append_number(control, static_cast<uint32_t>(frames_.size(2)));
    append_number(control, static_cast<uint32_t>(frames_.size(1)));
    append_number(control, 0);
    append_number(control, 0);
    append_number(control, static_cast<uint32_t>(milliseconds_), 2);
    append_number(control, 1000, 2);
    append_number(control, 0, 1);
    append_number(control, 0, 1);
    append_chunk(out_, "fcTL", control);
  }

  Tensor frames_;
  int milliseconds_;
  uint32_t sequence_ = 0;
  std::string out_;
};

}  // namespace

std::string encode_animated_png(const Tensor& frames, int milliseconds) {
  if (frames.dtype() != u8) throw DTypeError("animated_png: frames must be u8, they are " + std::string(name(frames.dtype())));
  if (frames.rank() != 4 || frames.size(0) < 1)
    throw ShapeError("animated_png: takes frames [F, H, W, C], got " + to_string(frames.shape()));
  if (milliseconds < 1 || milliseconds > 65535)
    throw ValueError("animated_png: a frame is shown for 1 to 65535 milliseconds, not " + std::to_string(milliseconds));
  Tensor host = contiguous_data(frames);
  if (host.size(0) == 1) return encode_png(view_of(host, host.shape().slice(1, 4), host.strides().slice(1, 4), 0));
  return Animation(host, milliseconds).encoded();
}

void save_animated_png(const std::string& path, const Tensor& frames, int milliseconds) {
  write_file_atomic(path, encode_animated_png(frames, milliseconds));
}

}  // namespace plumb
