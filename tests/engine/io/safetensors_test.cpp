// safetensors: round trips, the reference writer's bytes, and every way in which a file can be broken.
#include "engine/io/safetensors.h"

#include <cstring>

#include "engine/io/file.h"
#include "ops/shape.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/without_checksums.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;

namespace {

std::string with_header(const std::string& header, const std::string& data) {
  std::string bytes(8, 0);
  uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

Tensor counted(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  auto* bytes = static_cast<uint8_t*>(t.raw_data());
  for (size_t i = 0; i < static_cast<size_t>(t.numel()) * item_size(dtype); ++i)
    bytes[i] = static_cast<uint8_t>(dtype == boolean ? i % 2 : i % 31);
  return t;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw_data(), b.raw_data(), static_cast<size_t>(a.numel()) * item_size(a.dtype())) == 0;
}

StateDict every_type() {
  StateDict state;
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) state["weight." + std::string(name(t))] = counted({3, 5}, t);
  state["scalar"] = counted({}, f32);
  state["none"] = counted({0, 4}, f64);
  state["name with \"quotes\" and é"] = counted({2, 1, 3}, u8);
  return state;
}

std::string load_error(const Scratch& scratch, const std::string& bytes) {
  std::string path = scratch.put("bad.safetensors", bytes);
  std::string message = io_error([&] { load_safetensors(path); });
  std::string start = "safetensors: " + path + ": ";
  return message.starts_with(start) ? message.substr(start.size()) : message;
}

}  // namespace

TEST_CASE("safetensors: every type, rank 0, size 0 and metadata come back as they were saved") {
  Scratch scratch;
  StateDict state = every_type();
  FileMetadata metadata{{"format", "pt"}, {"step", "12 \"x\""}};
  save_safetensors(scratch.path("a"), state, metadata);
  StateDict loaded = load_safetensors(scratch.path("a"));
  REQUIRE(loaded.size() == state.size());
  for (auto& saved : state) CHECK_MESSAGE(same_bytes(loaded.at(saved.first), saved.second), saved.first);
  CHECK(load_safetensors_metadata(scratch.path("a")) == metadata);
  save_safetensors(scratch.path("none"), {});
  CHECK(load_safetensors(scratch.path("none")).empty());
  CHECK(load_safetensors_metadata(scratch.path("none")).empty());
}

TEST_CASE("safetensors: reads a file laid out as the reference library writes it") {
  Scratch scratch;
  // save_file({"b": float32 [[1, 2], [3, 4]], "a": uint8 [7, 8, 9]}, metadata={"format": "pt"}) of safetensors 0.8.0
  std::string header = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                       R"("a":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  float b[4] = {1, 2, 3, 4};
  std::string path = scratch.put("ref", with_header(header, std::string(reinterpret_cast<char*>(b), 16) + "\x07\x08\x09"));
  StateDict state = load_safetensors(path);
  CHECK(state.at("b").shape() == Shape{2, 2});
  CHECK(state.at("b").data<float>()[3] == 4.0f);
  CHECK(state.at("a").data<uint8_t>()[2] == 9);
}

TEST_CASE("safetensors: an unaligned tensor is copied to an aligned place") {
  Scratch scratch;
  double value = 2.5;
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F64","shape":[],"data_offsets":[1,9]}})";
  std::string path = scratch.put("odd", with_header(header, "\x01" + std::string(reinterpret_cast<char*>(&value), 8)));
  Tensor b = load_safetensors(path).at("b");
  CHECK(reinterpret_cast<uintptr_t>(b.raw_data()) % 8 == 0);
  CHECK(b.item() == 2.5);
}

TEST_CASE("safetensors: loaded tensors may be changed and saved over their own file") {
  Scratch scratch;
  std::string path = scratch.path("a");
  save_safetensors(path, {{"w", from_vector<float>({1, 2, 3})}, {"v", from_vector<float>({4})}});
  StateDict state = load_safetensors(path);
  state.at("w").data<float>()[1] = 20;
  CHECK(load_safetensors(path).at("w").data<float>()[1] == 2.0f);  // the file is not written through
  save_safetensors(path, state);
  StateDict again = load_safetensors(path);
  CHECK(again.at("w").data<float>()[1] == 20.0f);
  CHECK(again.at("v").item() == 4.0);
  CHECK(state.at("w").data<float>()[2] == 3.0f);  // the old mapping is still alive
  CHECK(scratch.files() == 1);
}

TEST_CASE("safetensors: views are saved row by row") {
  Scratch scratch;
  Tensor x = from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  save_safetensors(scratch.path("a"), {{"t", transpose(x, 0, 1)}, {"row", select(x, 0, 1)}});
  StateDict state = load_safetensors(scratch.path("a"));
  CHECK(state.at("t").shape() == Shape{3, 2});
  CHECK(to_vector(state.at("t")) == std::vector<double>{1, 4, 2, 5, 3, 6});
  CHECK(to_vector(state.at("row")) == std::vector<double>{4, 5, 6});
}

TEST_CASE("safetensors: what cannot be saved is refused before anything is written") {
  Scratch scratch;
  std::string path = scratch.path("a");
  CHECK_THROWS_WITH_AS(save_safetensors(path, {{"w", Tensor()}}), "save_safetensors: tensor \"w\" is undefined", ValueError);
  CHECK_THROWS_WITH_AS(save_safetensors(path, {{"__metadata__", counted({1}, f32)}}),
                       "save_safetensors: a tensor cannot be called __metadata__", ValueError);
  CHECK_THROWS_WITH_AS(save_safetensors(path, {{"\xff", counted({1}, f32)}}),
                       "save_safetensors: a name or a metadata string is not valid UTF-8", ValueError);
  CHECK(scratch.files() == 0);
}

TEST_CASE("safetensors: broken files are refused with the file and the tensor") {
  Scratch scratch;
  std::string missing = scratch.path("missing");
  CHECK(io_error([&] { load_safetensors(missing); }) == "read: " + missing + ": no such file; check the path");
  std::string empty = scratch.put("empty", "");
  CHECK(io_error([&] { load_safetensors(empty); }) == "read: " + empty + ": is empty; was its download or copy cut off?");
  CHECK(io_error([&] { load_safetensors(scratch.path()); }) == "read: " + scratch.path() + ": is a directory; give a file");

  auto file = [](const std::string& entries, size_t data) { return with_header("{" + entries + "}", std::string(data, '\0')); };
  CHECK(load_error(scratch, "abc") == "is truncated: 3 bytes are no safetensors file");
  CHECK(load_error(scratch, "PK\x03\x04plumbing") ==
        "is no safetensors file: its first 8 bytes give a header of 7887329550768753488 bytes");
  CHECK(load_error(scratch, with_header("{}", "").substr(0, 9)) == "is truncated: its header of 2 bytes ends beyond the file's 9");
  CHECK(load_error(scratch, with_header("", "")) == "is no safetensors file: its header does not begin with {");
  CHECK(load_error(scratch, with_header("{\"a\":", "")).starts_with("its header is corrupt: "));
  CHECK(load_error(scratch, gzip(with_header("{}", ""))) == "is gzip-compressed; gunzip it first, since it is read in place");
  std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  CHECK(load_error(scratch, file(a + "," + a, 8)) == "its header has the name \"a\" twice");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8)) ==
        "its header has the name \"dtype\" twice");
  CHECK(load_error(scratch, file(a, 7)) == "tensor \"a\" ends at byte 8 of the data, which has 7: the file is truncated");
  CHECK(load_error(scratch, file(a, 9)) == "has 1 bytes after its last tensor");
  CHECK(load_error(scratch, file(a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]})", 12)) == "tensor \"b\" overlaps \"a\"");
  CHECK(load_error(scratch, file(a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]})", 20)) ==
        "tensor \"b\" begins at byte 12, leaving a hole after byte 8");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]})", 4)) ==
        "tensor \"a\" has type I16, which Plumb does not have; convert it to F32 or I64 first");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]})", 8)) ==
        "tensor \"a\" has 8 bytes, but F32 [3] needs 12");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", 8)) ==
        "tensor \"a\" has a dimension that is no size: -2");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[0,4611686018427387904,4611686018427387904],"data_offsets":[0,0]})", 0)) ==
        "tensor \"a\" has a shape larger than any memory: [0,4611686018427387904,4611686018427387904]");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})", 4)) ==
        "tensor \"a\" has 9 dimensions; at most 8 are possible");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[2]})", 8)) == "tensor \"a\" lacks dtype, shape or data_offsets");
  CHECK(load_error(scratch, file(R"("a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]})", 8)) ==
        "tensor \"a\" has data_offsets that end before they begin");
  CHECK(load_error(scratch, file(R"("__metadata__":{"a":1})", 0)) == "__metadata__: \"a\" is not a string");
  CHECK(load_error(scratch, with_header(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", std::string("\x01\x02"))) ==
        "tensor \"a\" is BOOL, but byte 1 is neither 0 nor 1: the file is corrupt");
}

TEST_CASE("safetensors: every single flipped bit is noticed and named") {
  Scratch scratch;
  StateDict state{
      {"bias", counted({3}, f32)}, {"mask", counted({5}, boolean)}, {"none", counted({0}, f32)}, {"weight", counted({2, 2}, f64)}};
  save_safetensors(scratch.path("a"), state, {{"step", "12"}});
  std::string valid = scratch.get("a");
  size_t data = valid.size() - 32 - 12 - 5;  // where it begins: eight-byte elements stand first
  REQUIRE(data % 64 == 0);
  REQUIRE(valid[data - 1] == ' ');  // padding is among what is damaged
  auto tensor_at = [&](size_t byte) { return byte < data + 32 ? "weight" : byte < data + 44 ? "bias" : "mask"; };
  for (size_t byte = 0; byte < valid.size(); ++byte)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = valid;
      damaged[byte] ^= static_cast<char>(1 << bit);
      std::string said = load_error(scratch, damaged);
      if (byte >= data)
        CHECK(said ==
              "tensor \"" + std::string(tensor_at(byte)) + "\" does not fit its checksum: the file is damaged, restore it from a copy");
      else
        CHECK_MESSAGE((said.find("header") != std::string::npos || said.starts_with("tensor ")),
                      "byte " << byte << ", bit " << bit << ": " << said);
    }
}

TEST_CASE("safetensors: several damaged bytes are noticed; a header's damage also where only the metadata are read") {
  Scratch scratch;
  save_safetensors(scratch.path("a"), every_type(), {{"step", "12"}});
  std::string valid = scratch.get("a");
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = valid;
    size_t at = random() % valid.size(), length = std::min<size_t>(1 + random() % 64, valid.size() - at);
    for (size_t k = 0; k < length; ++k) damaged[at + k] = static_cast<char>(random());
    if (damaged != valid) CHECK_FALSE(load_error(scratch, damaged).empty());
  }
  std::string other_step = valid;
  other_step.replace(other_step.find("\"step\":\"12\"") + 8, 2, "13");
  std::string path = scratch.put("b", other_step);
  CHECK(io_error([&] { load_safetensors_metadata(path); }) ==
        "safetensors: " + path +
            ": its header does not fit its checksum: the file is damaged, restore it from a copy (a program that rewrites it must drop "
            "\"plumb.crc32c.header\" and \"plumb.crc32c.tensors\")");
}

TEST_CASE("safetensors: either checksum without the other is damage; neither is a file of another program") {
  Scratch scratch;
  std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK(load_error(scratch, with_header(R"({"__metadata__":{"plumb.crc32c.tensors":"00000000"},)" + a + "}", "x"))
            .starts_with("its header does not fit its checksum"));
  CHECK(load_error(scratch, with_header(R"({"__metadata__":{"plumb.crc32c.header":"00000000"},)" + a + "}", "x"))
            .starts_with("its header does not fit its checksum"));
  CHECK(load_error(scratch, with_header(R"({"__metadata__":{"plumb.crc32c.heade)", "")).starts_with("its header is corrupt"));
  CHECK(load_error(scratch, with_header(R"({"__metadata__":{"plumb.crc32c.header":"00)", ""))
            .starts_with("its header does not fit its checksum"));
  CHECK(load_error(scratch, with_header("{" + a + "}", "x")).empty());
  // Metadata that were read and are given to the writer again do not carry old checksums along.
  save_safetensors(scratch.path("b"), {{"a", counted({4}, u8)}},
                   {{"plumb.crc32c.header", "old"}, {"plumb.crc32c.tensors", "old"}, {"k", "v"}});
  CHECK(load_safetensors(scratch.path("b")).size() == 1);
  CHECK(load_safetensors_metadata(scratch.path("b")) == FileMetadata{{"k", "v"}});
}

TEST_CASE("safetensors: damaged files are read or refused, never more") {
  Scratch scratch;
  save_safetensors(scratch.path("a"), every_type(), {{"k", "v"}});
  std::string valid = plumb_test::without_checksums(scratch.get("a"));  // which would refuse everything at once
  auto read = [](const std::string& p) { load_safetensors(p); };
  CHECK(plumb_test::refused_when_damaged(scratch, valid, read) > 60);  // every prefix, and most of the changed headers
}
