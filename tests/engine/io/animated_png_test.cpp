// Animated PNG: chunks in order and numbered, frames that decode to what went in, and errors.
#include <doctest/doctest.h>
#include <zlib.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/animated_png.h"
#include "engine/io/image.h"

using namespace plumb;

namespace {

struct Chunk {
  std::string type, data;
};

uint32_t number(std::string_view bytes, size_t at) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(bytes[at + i]);
  return v;
}

std::vector<Chunk> chunks_of(const std::string& png) {
  std::vector<Chunk> all;
  for (size_t at = 8; at + 12 <= png.size();) {
    uint32_t length = number(png, at);
    std::string body = png.substr(at + 4, length + 4);
    CHECK(number(png, at + 8 + length) == crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
    all.push_back({body.substr(0, 4), body.substr(4)});
    at += 12 + length;
  }
  return all;
}

Tensor clip(int64_t frames, int64_t channels) {
  Tensor x = empty({frames, 5, 7, channels}, u8);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<uint8_t>()[i] = static_cast<uint8_t>(i * 37 % 251);
  return x;
}

void put(std::string& out, const std::string& type, const std::string& data) {
  auto add = [&](uint32_t v) {
    for (int s = 24; s >= 0; s -= 8) out += static_cast<char>(v >> s & 0xff);
  };
  add(static_cast<uint32_t>(data.size()));
  std::string body = type + data;
  out += body;
  add(static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

}  // namespace

TEST_CASE("animated png: readers of plain PNG see the first frame; every further frame is whole in its chunks") {
  for (int64_t channels : {1, 3}) {
    Tensor frames = clip(4, channels);
    std::string png = encode_animated_png(frames, 125);
    std::vector<uint8_t> pixels(frames.data<uint8_t>(), frames.data<uint8_t>() + frames.numel());
    size_t each = pixels.size() / 4;
    auto same = [&](const Tensor& image, size_t frame) {
      return std::equal(image.data<uint8_t>(), image.data<uint8_t>() + image.numel(),
                        pixels.begin() + static_cast<ptrdiff_t>(frame * each));
    };
    CHECK(same(decode_png(png, "clip"), 0));

    std::vector<Chunk> chunks = chunks_of(png);
    CHECK(chunks.front().type == "IHDR");
    CHECK(chunks.back().type == "IEND");
    std::map<std::string, int> count;
    uint32_t sequence = 0;
    std::vector<std::string> data(4);
    int frame = -1;
    for (const Chunk& c : chunks) {
      ++count[c.type];
      if (c.type == "acTL") {
        CHECK(number(c.data, 0) == 4);
        CHECK(number(c.data, 4) == 0);
        CHECK(count["IDAT"] == 0);
      }
      if (c.type == "fcTL") {
        ++frame;
        CHECK(number(c.data, 0) == sequence++);
        CHECK(number(c.data, 4) == 7);
        CHECK(number(c.data, 8) == 5);
        CHECK(number(c.data, 20) == (125u << 16 | 1000u));
        CHECK(c.data.size() == 26);
      }
      if (c.type == "fdAT") {
        CHECK(number(c.data, 0) == sequence++);
        data[static_cast<size_t>(frame)] += c.data.substr(4);
      }
    }
    CHECK(count["acTL"] == 1);
    CHECK(count["fcTL"] == 4);
    for (size_t f = 1; f < 4; ++f) {  // as a PNG of its own
      std::string alone = png.substr(0, 8);
      put(alone, "IHDR", chunks.front().data);
      put(alone, "IDAT", data[f]);
      put(alone, "IEND", "");
      CHECK(same(decode_png(alone, "frame"), f));
    }
  }
}

TEST_CASE("animated png: one frame is a plain PNG, and what is no clip is refused") {
  Tensor one = clip(1, 3);
  for (const Chunk& c : chunks_of(encode_animated_png(one))) CHECK(c.type != "acTL");
  CHECK_THROWS_WITH_AS(encode_animated_png(zeros({2, 4, 4}, u8)), "animated_png: takes frames [F, H, W, C], got [2, 4, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(encode_animated_png(zeros({2, 4, 4, 1})), "animated_png: frames must be u8, they are f32", DTypeError);
  CHECK_THROWS_WITH_AS(encode_animated_png(one, 0), "animated_png: a frame is shown for 1 to 65535 milliseconds, not 0", ValueError);
  CHECK_THROWS_AS(encode_animated_png(clip(2, 5)), ShapeError);
}
