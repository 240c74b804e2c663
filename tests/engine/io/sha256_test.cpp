// SHA-256 against the examples of FIPS 180 and the usual long ones.
#include "engine/io/sha256.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "engine/core/error.h"

using namespace plumb;

TEST_CASE("sha256: the published examples") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces of any size give the hash of the whole") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7 + 3);
  for (size_t piece : {1u, 3u, 55u, 63u, 64u, 65u, 130u}) {
    CAPTURE(piece);
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece) hash.update(text.data() + at, std::min(piece, text.size() - at));
    CHECK(hash.hex() == sha256(text));
  }
}

TEST_CASE("sha256: a file is hashed as it lies on the disk") {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("plumb_sha256_" + std::to_string(getpid()));
  std::FILE* file = std::fopen(path.c_str(), "wb");
  REQUIRE(file);
  std::fputs("abc", file);
  std::fclose(file);
  CHECK(sha256_of_file(path) == sha256("abc"));
  std::filesystem::remove(path);
  CHECK_THROWS_WITH_AS(sha256_of_file(path), ("sha256: " + path.string() + ": No such file or directory").c_str(), IoError);
}
