// Damaged files of every format: a reader returns or throws one of Plumb's errors, and does nothing else. A few hundred a format in an
// ordinary run; PLUMB_FUZZ_SECONDS sets how long to go on with fresh damage, PLUMB_FUZZ_SEED where to begin (tools/nightly.sh does both).
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <functional>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "engine/io/cifar.h"
#include "engine/io/csv.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"
#include "engine/io/image.h"
#include "engine/io/nifti.h"
#include "engine/io/npy.h"
#include "engine/io/safetensors.h"
#include "engine/io/tokenizer.h"
#include "engine/io/ts.h"
#include "tests/engine/io/damage.h"
#include "tests/engine/io/without_checksums.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

struct Format {
  const char* name;
  std::string valid;  ///< a whole file
  std::function<void(const std::string& path)> read;
};

Tensor sample_image() {
  Tensor image = empty({9, 7, 3}, u8);
  for (int64_t i = 0; i < image.numel(); ++i) image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 5);
  return image;
}

/// What `write` leaves in a file called `name`.
std::string written(const std::string& name, const std::function<void(const std::string&)>& write) {
  Scratch scratch;
  write(scratch.path(name));
  return scratch.get(name);
}

std::vector<Format> formats() {
  StateDict state = {{"a.weight", tensor({{1.0, 2.0}, {3.0, 4.0}})}, {"b", tensor({1, 2, 3})}, {"empty", zeros({0, 2})}};
  std::string text = "the cat sat on the mat; the rat sat on the cat. Ünïcödé 123\n";
  CifarImages cifar{zeros({2, 3, 32, 32}, u8), tensor({3, 9}), {}};
  return {
      {"safetensors", written("x", [&](const std::string& p) { save_safetensors(p, state, {{"step", "3"}}); }),
       [](const std::string& p) { load_safetensors(p), load_safetensors_metadata(p); }},
      {"safetensors without checksums", plumb_test::without_checksums(written("x", [&](const std::string& p) { save_safetensors(p, state, {{"step", "3"}}); })),
       [](const std::string& p) { load_safetensors(p), load_safetensors_metadata(p); }},
      {"npy", npy_bytes(state["a.weight"]), [](const std::string& p) { load_npy(p); }},
      {"npz", written("x", [&](const std::string& p) { save_npz(p, state); }), [](const std::string& p) { load_npz(p); }},
      {"idx", written("x", [](const std::string& p) { save_idx(p, sample_image()); }), [](const std::string& p) { load_idx(p); }},
      {"cifar", written("x.bin", [&](const std::string& p) { save_cifar(p, cifar); }), [](const std::string& p) { load_cifar(p); }},
      {"png", encode_png(sample_image()), [](const std::string& p) { load_image(p); }},
      {"jpeg", encode_jpeg(sample_image()), [](const std::string& p) { load_image(p); }},
      {"csv", "name,x,y\n\"a \"\"b\"\"\",1.5,?\nc,-2e3,4\n\"d\ne\",0,1\n", [](const std::string& p) { load_csv(p); }},
      {"nifti", written("x.nii", [&](const std::string& p) { save_nifti(p, {state["a.weight"], {}, {1, 2}, "two by two"}); }),
       [](const std::string& p) { load_nifti(p); }},
      {"ts", "@problemName a\n@dimensions 2\n@classLabel true x y\n@data\n1,2.5,-3:4,?,6:x\n0,1:2,3:y\n", [](const std::string& p) { load_ts(p); }},
      {"gzip", gzip(text + text), [](const std::string& p) { read_file(p); }},
      {"byte pairs", Tokenizer::byte_pairs(text, {.vocab_size = 280}).to_json(),
       [](const std::string& p) { Tokenizer::load(p).encode("the cat"); }},
      {"characters", Tokenizer::characters(text).to_json(), [](const std::string& p) { Tokenizer::load(p); }},
  };
}

/// One kind of damage to `bytes`, which stay non-empty: bits, bytes, numbers at their limits, lost, doubled and foreign parts.
void damage(std::string& bytes, Generator& g) {
  size_t at = g.next_below(bytes.size()), length = std::min<size_t>(1 + g.next_below(16), bytes.size() - at);
  if (g.next_below(2)) at = std::min(at, static_cast<size_t>(g.next_below(64))), length = std::min(length, bytes.size() - at);  // headers
  switch (g.next_below(8)) {
    case 0: bytes[at] ^= static_cast<char>(1 << g.next_below(8)); break;
    case 1: bytes[at] = static_cast<char>(g.next_below(256)); break;
    case 2: bytes.replace(at, length, length, g.next_below(2) ? '\xff' : '\0'); break;
    case 3: bytes.replace(at, 1, g.next_below(2) ? "99999999999999999999" : "-1"); break;
    case 4: bytes.insert(at, bytes.substr(at, length)); break;
    case 5: bytes.insert(at, std::string(length, static_cast<char>(g.next_below(256)))); break;
    case 6:
      if (length < bytes.size()) bytes.erase(at, length);
      break;
    default: bytes.resize(std::max<size_t>(at, 1)); break;
  }
}

/// Reads one damaged copy; true if it was refused.
bool refused(const Format& format, const std::string& path) {
  try {
    format.read(path);
  } catch (const Error&) { return true; }
  return false;
}

}  // namespace

TEST_CASE("readers: damaged files are read or refused, never worse") {
  const char* asked = std::getenv("PLUMB_FUZZ_SECONDS");
  const char* seed = std::getenv("PLUMB_FUZZ_SEED");
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(asked ? std::atoi(asked) : 0);
  Generator generator(seed ? std::strtoull(seed, nullptr, 10) : 1);
  Scratch scratch;
  std::vector<Format> all = formats();
  for (const Format& format : all) CHECK_FALSE_MESSAGE(refused(format, scratch.put("valid", format.valid)), format.name);
  std::vector<int64_t> count(all.size());
  do {
    for (size_t f = 0; f < all.size(); ++f) {
      INFO(all[f].name);
      for (int round = 0; round < 150; ++round) {
        std::string bytes = all[f].valid;
        for (uint64_t n = 1 + generator.next_below(3); n > 0; --n) damage(bytes, generator);
        count[f] += refused(all[f], scratch.put("damaged", bytes));
      }
    }
  } while (std::chrono::steady_clock::now() < end);
  for (size_t f = 0; f < all.size(); ++f) CHECK_MESSAGE(count[f] > 10, all[f].name);  // the damage is felt
}
