// Fetching data sets from a server on the loopback address: whole, cut off, changed, refused.
#include <doctest/doctest.h>

#include <cstdio>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "tests/engine/io/tar_entry.h"
#include "tests/scratch.h"
#include "tests/tools/loopback_server.h"
#include "tools/data/fetch.h"
#include "tools/data/forms.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;
using plumb_test::tar_entry;

namespace {

std::string long_text() {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i) + "\n";
  return text;
}

DataSet one_file(const std::string& url, const std::string& sha256, Form form = Form::as_it_is) {
  return {"sample", "a sample", {{"set/sample.txt", url, sha256, form}}};
}

/// fetch() with its words thrown away.
void fetch_quietly(const DataSet& set, const std::string& directory) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> log(std::fopen("/dev/null", "w"), std::fclose);
  fetch(set, directory, log.get());
}

}  // namespace

TEST_CASE("data fetch: a file is stored under its name with its checksum recorded, and not fetched twice") {
  Scratch scratch;
  LoopbackServer server({{"/a.txt", {long_text(), {}, true}}});
  DataSet set = one_file(server.url("/a.txt"), sha256(long_text()));
  fetch_quietly(set, scratch.path());
  CHECK(scratch.get("set/sample.txt") == long_text());
  CHECK(scratch.get("SHA256SUMS") == sha256(long_text()) + "  ./set/sample.txt\n");
  CHECK_FALSE(scratch.has("set/sample.txt.part"));
  fetch_quietly(set, scratch.path());
  CHECK(server.ranges().size() == 1);
}

TEST_CASE("data fetch: a cut connection is taken up where it broke") {
  Scratch scratch;
  LoopbackServer server({{"/a.txt", {long_text(), {1000, 2500}, true}}});
  fetch_quietly(one_file(server.url("/a.txt"), sha256(long_text())), scratch.path());
  CHECK(scratch.get("set/sample.txt") == long_text());
  CHECK(server.ranges() == std::vector<std::string>{"", "bytes=1000-", "bytes=3500-"});
}

TEST_CASE("data fetch: a transfer that stays truncated says so, stores nothing, and goes on the next time") {
  Scratch scratch;
  DataSet set;
  {
    LoopbackServer server({{"/a.txt", {long_text(), {700, 0, 0}, true}}});
    set = one_file(server.url("/a.txt"), sha256(long_text()));
    CHECK_THROWS_WITH_AS(fetch_quietly(set, scratch.path()), doctest::Contains("700 bytes are in"), IoError);
  }
  CHECK_FALSE(scratch.has("set/sample.txt"));
  CHECK(scratch.get("set/sample.txt.part") == long_text().substr(0, 700));
  LoopbackServer server({{"/a.txt", {long_text(), {}, true}}});
  fetch_quietly(one_file(server.url("/a.txt"), sha256(long_text())), scratch.path());
  CHECK(server.ranges() == std::vector<std::string>{"bytes=700-"});
  CHECK(scratch.get("set/sample.txt") == long_text());
}

TEST_CASE("data fetch: a server without ranges is asked for the whole file again") {
  Scratch scratch;
  scratch.put("set/sample.txt.part", long_text().substr(0, 300));
  LoopbackServer server({{"/a.txt", {long_text(), {}, false}}});
  fetch_quietly(one_file(server.url("/a.txt"), sha256(long_text())), scratch.path());
  CHECK(scratch.get("set/sample.txt") == long_text());
}

TEST_CASE("data fetch: a wrong checksum names both and keeps nothing") {
  Scratch scratch;
  LoopbackServer server({{"/a.txt", {"something else", {}, true}}});
  std::string expected = server.url("/a.txt") + ": SHA-256 is " + sha256("something else") + ", published is " + sha256(long_text()) +
                         "; what came was thrown away";
  CHECK_THROWS_WITH_AS(fetch_quietly(one_file(server.url("/a.txt"), sha256(long_text())), scratch.path()), expected.c_str(), IoError);
  CHECK_FALSE(scratch.has("set/sample.txt"));
  CHECK_FALSE(scratch.has("set/sample.txt.part"));
  CHECK_FALSE(scratch.has("SHA256SUMS"));
}

TEST_CASE("data fetch: a file that is there and differs is left alone, with a word") {
  Scratch scratch;
  scratch.put("set/sample.txt", "mine");
  LoopbackServer server({{"/a.txt", {long_text(), {}, true}}});
  CHECK_THROWS_WITH_AS(fetch_quietly(one_file(server.url("/a.txt"), sha256(long_text())), scratch.path()),
                       doctest::Contains("is there, but is not the published file"), IoError);
  CHECK(scratch.get("set/sample.txt") == "mine");
  CHECK(server.ranges().empty());
}

TEST_CASE("data fetch: missing pages, dead addresses and unwritable places are named") {
  Scratch scratch;
  std::string url;
  {
    LoopbackServer server({});
    url = server.url("/none.txt");
    CHECK_THROWS_WITH_AS(fetch_quietly(one_file(url, ""), scratch.path()), (url + ": the server answers 404").c_str(), IoError);
  }
  CHECK_THROWS_WITH_AS(fetch_quietly(one_file(url, ""), scratch.path()), doctest::Contains((url + ": ").c_str()), IoError);
  std::string file = scratch.put("file", "");
  CHECK_THROWS(fetch_quietly(one_file(url, ""), file));
  CHECK_THROWS_WITH_AS(find_data_set("minst"), doctest::Contains("there is no data set minst; known are mnist, "), ValueError);
}

TEST_CASE("data fetch: the CIFAR archive becomes its .bin files") {
  Scratch scratch;
  std::string archive =
      gzip(tar_entry("cifar-10-batches-bin/readme.html", "<html>") + tar_entry("cifar-10-batches-bin/data_batch_1.bin", "one") +
           tar_entry("cifar-10-batches-bin/test_batch.bin", std::string(700, 't')) + std::string(1024, '\0'));
  LoopbackServer server({{"/c.tar.gz", {archive, {}, true}}});
  DataSet set{"cifar", "", {{"cifar10/c.tar.gz", server.url("/c.tar.gz"), sha256(archive), Form::cifar_archive}}};
  fetch_quietly(set, scratch.path());
  CHECK(scratch.get("cifar10/data_batch_1.bin") == "one");
  CHECK(scratch.get("cifar10/test_batch.bin") == std::string(700, 't'));
  CHECK_FALSE(scratch.has("cifar10/readme.html"));
  CHECK_FALSE(scratch.has("cifar10/c.tar.gz.part"));
}

TEST_CASE("data fetch: tables come to commas, no header, target last") {
  CHECK(stored_form("A11 6  A34 1\nA12 48 A32 2\n", Form::comma_for_spaces, "t") == "A11,6,A34,1\nA12,48,A32,2\n");
  CHECK(stored_form("\"acid\";\"quality\"\r\n7.4;5\r\n7.8;6\r\n", Form::comma_for_semicolons, "t") == "7.4,5\n7.8,6\n");
  CHECK(stored_form("1,14.23,1.71\n2,13.2,1.78\n\n", Form::target_first, "t") == "14.23,1.71,1\n13.2,1.78,2\n");
  CHECK(stored_form("1000025,5,1,2\n", Form::identifier_first, "t") == "5,1,2\n");
  CHECK(stored_form("|1x3 Cross validator\n25, Private\n", Form::comment_first, "t") == "25, Private\n");
  CHECK_THROWS_WITH_AS(stored_form("1\n", Form::target_first, "t"), "t: a row has one column only: \"1\"", IoError);
  CHECK_THROWS_WITH_AS(stored_form("", Form::target_first, "t"), "t: holds no rows", IoError);
}
