// Event files: records byte by byte as TensorBoard's own library writes them (its RecordWriter and its protocol buffers made the bytes
// below), frames, and what reaches the file when.
#include "models/train/event_file.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/event_records.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::train;

namespace {

std::string hex(std::string_view bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string out;
  for (char c : bytes) out += {kDigits[static_cast<unsigned char>(c) >> 4], kDigits[c & 15]};
  return out;
}

// A PNG file's first bytes: 5 × 3 pixels, RGB.
const std::string kPngHead("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\5\0\0\0\3\x8\x2", 26);

// The records in the frames of a file; every length and checksum must add up.
std::vector<std::string> records_of(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    REQUIRE(at + 16 <= bytes.size());
    uint64_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    REQUIRE(at + 16 + length <= bytes.size());
    records.push_back(bytes.substr(at + 12, length));
    CHECK(bytes.substr(at, 16 + length) == event::framed(records.back()));
    at += 16 + length;
  }
  return records;
}

std::string only_file(const std::string& directory) {
  std::string path;
  for (auto& entry : std::filesystem::directory_iterator(directory)) path = entry.path().string();
  return path;
}

}  // namespace

TEST_CASE("events: records and frames are TensorBoard's, byte by byte") {
  CHECK(hex(event::framed(event::version(1.5))) == "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  CHECK(hex(event::framed(event::restart({2.25, 7}))) == "0f000000000000006d532b0909000000000000024010073a020801e08cca7e");
  CHECK(hex(event::framed(event::scalar({2.25, 300}, "train_loss", 0.75))) ==
        "2100000000000000017becf609000000000000024010ac022a130a110a0a747261696e5f6c6f7373150000403f869ff3c0");
  Histogram spread{.low = -1, .high = 1, .count = 4, .sum = 0.5, .sum_squares = 2.25, .counts = {1, 3}};
  CHECK(hex(event::framed(event::histogram({2.25, 2}, "weights/w", spread))) ==
        "6d000000000000003d4de67109000000000000024010022a600a5e0a09776569676874732f772a5109000000000000f0bf11000000000000f03f19000000000000"
        "1040"
        "21000000000000e03f29000000000000024032100000000000000000000000000000f03f3a10000000000000f03f000000000000084018634880");
  CHECK(
      hex(event::framed(event::text({2.25, 2}, "text", "Ä b"))) ==
      "31000000000000009d8383e909000000000000024010022a240a220a0474657874420e08071204120208014204c38420624a0a0a060a04746578742002e75d20eb");
  std::string image = event::image({2.25, 2}, "samples", kPngHead);
  CHECK(hex(image) == "09000000000000024010022a2f0a2d0a0773616d706c65732222080310051803221a" + hex(kPngHead));
}

TEST_CASE("events: an image must be a PNG file, whose size is read from it") {
  CHECK_THROWS_WITH_AS(event::image({0}, "samples", "GIF89a, which is long enough"), "events: the image samples is no PNG file",
                       ValueError);
  CHECK_THROWS_WITH_AS(event::image({0}, "samples", "\x89PNG\r\n\x1a\n"), "events: the image samples is no PNG file", ValueError);
  std::string grey = event::image({0}, "samples", encode_png(full({2, 300, 1}, 7, u8)));
  CHECK(hex(grey).find("080210ac021801") != std::string::npos);  // height 2, width 300, one channel
}

TEST_CASE("events: a file begins with its version, says where a run goes on, and holds whole records once they are flushed") {
  plumb_test::Scratch s;
  EventFile events(s.path(), 7);
  events.scalar("train_loss", 1.5, 7);
  std::string path = only_file(s.path());
  CHECK(std::filesystem::path(path).filename().string().starts_with("events.out.tfevents."));
  CHECK(records_of(read_file(path)).size() == 2);
  events.text("text", "two\nlines", 7);
  events.flush();
  std::vector<std::string> records = records_of(read_file(path));
  REQUIRE(records.size() == 4);
  CHECK(records[0].find("brain.Event:2") != std::string::npos);
  CHECK(hex(records[1]).ends_with("10073a020801"));
  float value = 1.5f;
  CHECK(records[2].ends_with(std::string(reinterpret_cast<const char*>(&value), 4)));
  CHECK(records[3].find("    two\n    lines") != std::string::npos);  // Markdown for text that stands as it is
}

TEST_CASE("events: two files of the same process and the same second are two files") {
  plumb_test::Scratch s;
  EventFile first(s.path(), 0), second(s.path(), 3);
  CHECK(s.files() == 2);
}

TEST_CASE("events: what is written does not wait in memory for a flush that never comes") {
  plumb_test::Scratch s;
  EventFile events(s.path(), 0);
  for (int i = 0; i < 10'000; ++i) events.scalar("train_loss", 1, i);
  CHECK(std::filesystem::file_size(only_file(s.path())) > 400'000);  // about 50 bytes each
}
