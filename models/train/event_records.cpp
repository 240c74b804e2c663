// Writing the protocol buffers by hand.
//   Event          { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary, 7: SessionLog { 1: START } }
//   Summary        { 1: Value { 1: string tag, 2: float simple_value, 4: Image, 5: HistogramProto, 8: TensorProto, 9: SummaryMetadata } }
//   Image          { 1: height, 2: width, 3: colorspace, 4: encoded_image_string }
//   HistogramProto { 1: min, 2: max, 3: num, 4: sum, 5: sum_squares, 6: packed double bucket_limit, 7: packed double bucket }
//   TensorProto    { 1: dtype, 2: TensorShape { 2: Dim { 1: size } }, 8: string_val }
//   SummaryMetadata { 1: PluginData { 1: plugin_name }, 4: data_class }
#include "models/train/event_records.h"

#include "engine/core/error.h"
#include "engine/io/crc32c.h"

namespace plumb::train::event {
namespace {

// TFRecord stores a rotated, offset checksum.
uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <typename T>
void put(std::string& out, T value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

void varint(std::string& out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}

// A message under construction: fields in the order of the calls.
struct Message {
  std::string bytes;

  enum WireType : uint32_t { kVarint = 0, kDouble = 1, kBytes = 2, kFloat = 5 };
  void key(uint32_t field, WireType type) { varint(bytes, field << 3 | type); }
  Message& whole(uint32_t field, uint64_t value) { return key(field, kVarint), varint(bytes, value), *this; }
  Message& real(uint32_t field, double value) { return key(field, kDouble), put(bytes, value), *this; }
  Message& real32(uint32_t field, float value) { return key(field, kFloat), put(bytes, value), *this; }
  Message& part(uint32_t field, std::string_view value) {
    key(field, kBytes);
    varint(bytes, value.size());
    bytes += value;
    return *this;
  }
  Message& part(uint32_t field, const Message& value) { return part(field, std::string_view(value.bytes)); }
};

Message moment(const Moment& when) {
  Message event = Message().real(1, when.wall_time);
  if (when.step != 0) event.whole(2, static_cast<uint64_t>(when.step));
  return event;
}

std::string summary(const Moment& when, const Message& value) { return moment(when).part(5, Message().part(1, value)).bytes; }

uint64_t big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// A PNG's kind of colour → how many channels it is decoded into.
uint64_t channels(unsigned char colour) { return colour == 0 ? 1 : colour == 4 ? 2 : colour == 6 ? 4 : 3; }

}  // namespace

std::string framed(const std::string& record) {
  std::string out;
  out.reserve(record.size() + 16);
  put(out, static_cast<uint64_t>(record.size()));
  put(out, masked(crc32c(out)));
  out += record;
  put(out, masked(crc32c(record)));
  return out;
}

std::string version(double wall_time) { return moment({wall_time}).part(3, "brain.Event:2").bytes; }
std::string restart(const Moment& when) { return moment(when).part(7, Message().whole(1, 1)).bytes; }

std::string scalar(const Moment& when, const std::string& tag, double value) {
  return summary(when, Message().part(1, tag).real32(2, static_cast<float>(value)));
}

std::string histogram(const Moment& when, const std::string& tag, const Histogram& h) {
  std::string limits, counts;
  double width = h.high / static_cast<double>(h.counts.size()) - h.low / static_cast<double>(h.counts.size());
  for (size_t i = 0; i < h.counts.size(); ++i) {
    put(limits, i + 1 == h.counts.size() ? h.high : h.low + width * static_cast<double>(i + 1));
    put(counts, static_cast<double>(h.counts[i]));
  }
  Message proto;
  proto.real(1, h.low)
      .real(2, h.high)
      .real(3, static_cast<double>(h.count))
      .real(4, h.sum)
      .real(5, h.sum_squares)
      .part(6, limits)
      .part(7, counts);
  return summary(when, Message().part(1, tag).part(5, proto));
}

std::string image(const Moment& when, const std::string& tag, std::string_view png) {
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";  // then the length and name of the first chunk, width, height, depth, colour
  if (png.size() < 26 || !png.starts_with(kSignature)) throw ValueError("events: the image " + tag + " is no PNG file");
  Message proto;
  proto.whole(1, big_endian(png.substr(20, 4))).whole(2, big_endian(png.substr(16, 4)));
  proto.whole(3, channels(static_cast<unsigned char>(png[25]))).part(4, png);
  return summary(when, Message().part(1, tag).part(4, proto));
}

std::string text(const Moment& when, const std::string& tag, const std::string& markdown) {
  constexpr uint64_t kString = 7, kTensorClass = 2;
  Message tensor = Message().whole(1, kString).part(2, Message().part(2, Message().whole(1, 1))).part(8, markdown);
  Message metadata = Message().part(1, Message().part(1, "text")).whole(4, kTensorClass);
  return summary(when, Message().part(1, tag).part(8, tensor).part(9, metadata));
}

}  // namespace plumb::train::event
