// .npy and .npz: NumPy's own files, round trips, and damage.
#include "engine/io/npy.h"

#include "engine/io/zip.h"
#include "ops/shape.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::from_hex;
using plumb_test::io_error;
using plumb_test::Scratch;
using plumb_test::values_of;

namespace {

const nlohmann::json& vectors() {
  static const nlohmann::json json = plumb_test::reference("file_vectors.json");  // by tests/reference/file_vectors.py
  return json;
}

std::string npy_with_header(const std::string& header, const std::string& data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += {static_cast<char>(header.size()), '\0'};
  return bytes + header + data;
}

std::string parse_error(const std::string& bytes) {
  std::string message = io_error([&] { parse_npy(bytes, "a.npy"); });
  return message.starts_with("npy: a.npy: ") ? message.substr(12) : message;
}

std::string header_error(const std::string& header) { return parse_error(npy_with_header(header, "1234")); }

bool equal(const Tensor& a, const Tensor& b) { return a.dtype() == b.dtype() && a.shape() == b.shape() && values_of(a) == values_of(b); }

}  // namespace

TEST_CASE("npy: reads NumPy's files of every type, order, byte order and version") {
  REQUIRE(vectors()["npy"].size() > 20);
  for (const auto& item : vectors()["npy"]) {
    CAPTURE(item["name"].get<std::string>());
    Tensor x = parse_npy(from_hex(item["file"]), "a.npy");
    CHECK(x.shape() == plumb_test::shape_of(item["shape"]));
    CHECK(values_of(x) == values_of(item["values"]));
    CHECK(x.is_contiguous());
  }
}

TEST_CASE("npy: keeps the types that both have, widens the others") {
  const std::pair<const char*, DType> expected[] = {{"f8", f64}, {"f4", f32},       {"f2", f16}, {"i8", i64}, {"i4", i32},
                                                    {"i2", i32}, {"i1", i32},       {"u8", i64}, {"u4", i64}, {"u2", i32},
                                                    {"u1", u8},  {"bool", boolean}, {">f4", f32}};
  for (const auto& item : vectors()["npy"])
    for (const auto& kept : expected)
      if (item["name"] == kept.first) CHECK_MESSAGE(parse_npy(from_hex(item["file"]), "a.npy").dtype() == kept.second, kept.first);
}

TEST_CASE("npy: writes the bytes that NumPy writes") {
  int compared = 0;
  for (const auto& item : vectors()["npy"]) {
    std::string name = item["name"], file = from_hex(item["file"]);
    for (const char* same : {"f8", "f4", "f2", "i8", "i4", "u1", "bool", "scalar", "vector", "no elements"}) {
      if (name != same) continue;
      CHECK_MESSAGE(npy_bytes(parse_npy(file, "a.npy")) == file, name);
      ++compared;
    }
  }
  CHECK(compared == 10);
}

TEST_CASE("npy: saves views row by row, refuses bfloat16") {
  Scratch scratch;
  Tensor x = from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  save_npy(scratch.path("t.npy"), transpose(x, 0, 1));
  Tensor t = load_npy(scratch.path("t.npy"));
  CHECK(t.shape() == Shape{3, 2});
  CHECK(values_of(t) == std::vector<double>{1, 4, 2, 5, 3, 6});
  save_npy(scratch.path("t.npy.gz"), x);
  CHECK(equal(load_npy(scratch.path("t.npy.gz")), x));
  CHECK_THROWS_WITH_AS(save_npy(scratch.path("b.npy"), empty({1}, bf16)), "npy: NumPy has no bf16; convert the tensor to f32 first",
                       DTypeError);
  CHECK(scratch.files() == 2);
}

TEST_CASE("npy: broken files are refused with the reason") {
  Scratch scratch;
  std::string missing = scratch.path("missing"), empty_file = scratch.put("empty", "");
  CHECK(io_error([&] { load_npy(missing); }) == "read: " + missing + ": no such file; check the path");
  CHECK(io_error([&] { load_npy(empty_file); }) == "read: " + empty_file + ": is empty; was its download or copy cut off?");
  CHECK(parse_error("\x93NUM") == "is truncated within its header");
  CHECK(parse_error(std::string("\x93NUMPY\x01\x00\xff\x00", 10)) == "is truncated within its header");
  CHECK(parse_error("PK") == "is no .npy file");
  CHECK(parse_error(std::string("\x93NUMPY\x09\x00\x00\x00", 10)) == "has format version 9; 1 to 3 are known");
  CHECK(parse_error(std::string("\x93NUMPY\xc8\x00\x00\x00", 10)) == "has format version 200; 1 to 3 are known");
  std::string order = "'fortran_order': False, ";
  CHECK(header_error("{'descr': '<f4', " + order + "'shape': (2,), }") == "is truncated: [2] needs 8 bytes of elements, the file has 4");
  CHECK(header_error("{'descr': '|u1', " + order + "'shape': (2,), }") == "has extra bytes: [2] needs 2 bytes of elements, the file has 4");
  CHECK(header_error("{'descr': '<c8', " + order + "'shape': (), }") ==
        "has elements of type '<c8', which are not known; convert them to float32 or int64 first");
  CHECK(header_error("{'descr': '<f4', 'shape': (1,), }") == "its header lacks descr, fortran_order or shape");
  CHECK(header_error("{'descr': '<f4', 'order': 1}") == "its header has the unknown key 'order'");
  CHECK(header_error("{'fortran_order': Maybe}") == "its header is corrupt: fortran_order is neither True nor False");
  CHECK(header_error("{'shape': (-1,)}") == "its header is corrupt: the shape is no list of sizes");
  CHECK(header_error("{'shape': (99999999999999999999,)}") == "has a size beyond any memory");
  CHECK(header_error("{'shape': (1,1,1,1,1,1,1,1,1)}") == "has more than 8 dimensions");
  CHECK(header_error("{'descr': '<f4', " + order + "'shape': (0, 4611686018427387904, 8), }") ==
        "has a size beyond any memory: [0, 4611686018427387904, 8]");
  CHECK(header_error("{'descr") == "its header is corrupt: expected a quoted word");
  CHECK(header_error("[]") == "its header is corrupt: expected {");
  CHECK(header_error("{'descr': '|b1', " + order + "'shape': (4,), }") ==
        "is a bool array with a byte that is neither 0 nor 1: the file is corrupt");
  CHECK(parse_error(from_hex(vectors()["structured npy"])) == "is a structured array, which is not known");
  CHECK(parse_error(from_hex(vectors()["text npy"])) ==
        "has elements of type '<U2', which are not known; convert them to float32 or int64 first");
  CHECK(parse_error(from_hex(vectors()["large u8 npy"])) == "has uint64 elements beyond i64; convert them to float64 first");
}

TEST_CASE("npz: reads NumPy's archives, stored and deflated") {
  Scratch scratch;
  for (const char* kind : {"stored", "deflated"}) {
    CAPTURE(kind);
    StateDict arrays = load_npz(scratch.put("a.npz", from_hex(vectors()["npz"][kind])));
    REQUIRE(arrays.size() == 2);
    CHECK(arrays.at("a").shape() == Shape{2, 3});
    CHECK(values_of(arrays.at("a")) == std::vector<double>{0, 1, 2, 3, 4, 5});
    CHECK(arrays.at("name with é").data<int64_t>()[499] == 499 % 7);
  }
}

TEST_CASE("npz: round trips, the same bytes every time, smaller when deflated") {
  Scratch scratch;
  StateDict arrays{{"weights", from_vector<double>({1.5, -2}, {1, 2})}, {"many", zeros({1000}, i64)}, {"none", zeros({0, 2})}};
  for (bool compress : {true, false}) {
    save_npz(scratch.path("a.npz"), arrays, {.compress = compress});
    std::string bytes = scratch.get("a.npz");
    CHECK((bytes.size() < 2000) == compress);
    save_npz(scratch.path("a.npz"), arrays, {.compress = compress});
    CHECK(scratch.get("a.npz") == bytes);
    StateDict loaded = load_npz(scratch.path("a.npz"));
    REQUIRE(loaded.size() == 3);
    for (auto& saved : arrays) CHECK_MESSAGE(equal(loaded.at(saved.first), saved.second), saved.first);
  }
  save_npz(scratch.path("empty.npz"), {});
  CHECK(load_npz(scratch.path("empty.npz")).empty());
}

TEST_CASE("npz: broken archives are refused with the entry") {
  Scratch scratch;
  auto error = [&](const std::string& bytes) {
    std::string path = scratch.put("a.npz", bytes), message = io_error([&] { load_npz(path); });
    return message.starts_with("npz: " + path + ": ") ? message.substr(path.size() + 7) : message;
  };
  std::string valid = zip_bytes({{"w.npy", npy_bytes(zeros({3}))}}, /*compress=*/false, "a.npz");
  CHECK(error("hello, this is no archive") == "is no zip archive");
  CHECK(error(valid.substr(0, valid.size() - 1)) == "is truncated: the zip archive has no directory at its end");
  std::string changed = valid;
  changed[100] ^= 1;  // within the array
  CHECK(error(changed) == "entry \"w.npy\" is corrupt: its checksum differs");
  changed = valid;
  changed[valid.find("PK\x01\x02") + 8] |= 1;
  CHECK(error(changed) == "entry \"w.npy\" is encrypted");
  changed = valid;
  changed[valid.find("PK\x01\x02") + 10] = 12;
  CHECK(error(changed) == "entry \"w.npy\" is packed by method 12; only stored and deflated are known");
  CHECK(error(zip_bytes({{"w.npy", npy_bytes(zeros({3}))}, {"w", npy_bytes(zeros({3}))}}, true, "a.npz")) == "has the array \"w\" twice");
  std::string path = scratch.path("a.npz");
  CHECK(error(zip_bytes({{"w.npy", "text"}}, true, "a.npz")) == "npy: " + path + ": w.npy: is no .npy file");
}

TEST_CASE("npy and npz: damaged files are read or refused, never more") {
  Scratch scratch;
  auto read_npy = [](const std::string& p) { load_npy(p); };
  auto read_npz = [](const std::string& p) { load_npz(p); };
  CHECK(plumb_test::refused_when_damaged(scratch, npy_bytes(zeros({3, 5}, boolean)), read_npy) > 100);
  CHECK(plumb_test::refused_when_damaged(scratch, from_hex(vectors()["npz"]["stored"]), read_npz) > 100);
  CHECK(plumb_test::refused_when_damaged(scratch, from_hex(vectors()["npz"]["deflated"]), read_npz) > 100);
}
