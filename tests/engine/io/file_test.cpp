// Reading whole files and replacing them atomically.
#include "engine/io/file.h"
#include "engine/io/temporary_files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "tests/engine/io/damage.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;

namespace {

std::string varied_bytes(size_t n) {
  std::mt19937 random(1);
  std::string bytes(n, 0);
  for (char& c : bytes) c = static_cast<char>(random() % 97);
  return bytes;
}

// While alive, no file of this process may grow beyond `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, before_);
  }

 private:
  void (*before_)(int);
  rlimit old_;
};

}  // namespace

TEST_CASE("read_file: returns the bytes of plain, empty and /proc files") {
  Scratch scratch;
  std::string bytes = varied_bytes(100'000);
  CHECK(read_file(scratch.put("a", bytes)) == bytes);
  CHECK(read_file(scratch.put("empty", "")).empty());
  CHECK(read_file("/proc/self/stat").size() > 10);  // reports a size of 0
}

TEST_CASE("read_file: gunzips by magic, also several members and zero padding") {
  Scratch scratch;
  std::string a = varied_bytes(300'000), b = "second";
  CHECK(read_file(scratch.put("a.gz", gzip(a))) == a);
  CHECK(read_file(scratch.put("named-otherwise", gzip(b))) == b);
  CHECK(read_file(scratch.put("two.gz", gzip(a) + gzip(b))) == a + b);
  CHECK(read_file(scratch.put("padded.gz", gzip(b) + std::string(512, '\0'))) == b);
  CHECK(read_file(scratch.put("empty.gz", gzip(""))).empty());
  std::string zeros(5'000'000, '\0');  // compresses a thousandfold
  CHECK(read_file(scratch.put("zeros.gz", gzip(zeros))) == zeros);
}

TEST_CASE("read_file: what cannot be read is named with the way out") {
  Scratch scratch;
  std::string missing = scratch.path("missing");
  CHECK(io_error([&] { read_file(missing); }) == "read: " + missing + ": no such file; check the path");
  scratch.put("images.gz", gzip("x"));
  CHECK(io_error([&] { read_file(scratch.path("images")); }) ==
        "read: " + scratch.path("images") + ": no such file, but " + scratch.path("images.gz") + " is there: give that");
  CHECK(io_error([&] { read_file(scratch.path()); }) == "read: " + scratch.path() + ": is a directory; give a file");
  CHECK(io_error([&] { read_file(""); }) == "read: the path is empty");
  CHECK(io_error([&] { read_file("/proc/self/mem"); }) == "read: /proc/self/mem: input/output error");
  if (geteuid() != 0) {
    std::string locked = scratch.put("locked", "x");
    chmod(locked.c_str(), 0);
    CHECK(io_error([&] { read_file(locked); }) == "read: " + locked + ": permission denied; make it readable (chmod +r)");
  } else {
    MESSAGE("permission test skipped: root may read everything");
  }
}

TEST_CASE("read_file: truncated and corrupt gzip data are told apart") {
  Scratch scratch;
  std::string packed = gzip(varied_bytes(10'000));
  for (size_t n : {size_t{2}, size_t{9}, size_t{200}, packed.size() / 2, packed.size() - 1}) {
    std::string path = scratch.put("cut.gz", packed.substr(0, n));
    CHECK(io_error([&] { read_file(path); }) ==
          "gunzip: " + path + ": the gzip data ends too early; was the download or copy cut off? Fetch it again");
  }
  std::string damaged = packed;
  damaged[damaged.size() - 6] ^= 1;  // the checksum
  std::string path = scratch.put("damaged.gz", damaged);
  CHECK(io_error([&] { read_file(path); }) == "gunzip: " + path + ": the gzip data is corrupt (incorrect data check); fetch it again");
  path = scratch.put("tail.gz", packed + "tail");
  CHECK(io_error([&] { read_file(path); }) == "gunzip: " + path + ": the gzip data is corrupt (incorrect header check); fetch it again");
  CHECK(plumb_test::refused_when_damaged(scratch, packed, [](const std::string& p) { read_file(p); }) > 100);
}

TEST_CASE("read_nonempty_file and read_text: refuse what holds nothing") {
  Scratch scratch;
  std::string empty = scratch.put("empty", "");
  CHECK(io_error([&] { read_nonempty_file(empty); }) == "read: " + empty + ": is empty; was its download or copy cut off?");
  CHECK(io_error([&] { read_text(empty); }) == "read: " + empty + ": is empty; was its download or copy cut off?");
  std::string mark = scratch.put("mark", "\xef\xbb\xbf");
  CHECK(io_error([&] { read_text(mark); }) == "read: " + mark + ": holds nothing but a byte-order mark");
  std::string wide = scratch.put("wide", "\xff\xfeh");
  CHECK(io_error([&] { read_text(wide); }) == "read: " + wide + ": is UTF-16; convert it to UTF-8 (iconv -t UTF-8)");
  CHECK(read_text(scratch.put("marked", "\xef\xbb\xbfhi\r\n")) == "hi\r\n");
  CHECK(read_text(scratch.put("packed", gzip("text"))) == "text");
}

TEST_CASE("write_file_atomic: creates, replaces, keeps the mode, follows links, leaves no other file") {
  Scratch scratch;
  std::string path = scratch.path("out");
  write_file_atomic(path, "one");
  CHECK(scratch.get("out") == "one");
  chmod(path.c_str(), 0600);
  std::filesystem::create_symlink(path, scratch.path("link"));
  write_file_atomic(scratch.path("link"), "two");
  CHECK(scratch.get("out") == "two");
  CHECK(std::filesystem::is_symlink(scratch.path("link")));
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::all) == static_cast<std::filesystem::perms>(0600));
  CHECK(scratch.files() == 2);
  std::string longest = scratch.path(std::string(255, 'n'));
  write_file_atomic(longest, "x");
  CHECK(read_file(longest) == "x");
  write_data_file(scratch.path("data.gz"), "packed");
  CHECK(scratch.get("data.gz") == gzip("packed"));
}

TEST_CASE("write_file_atomic: errors name the path and the way out") {
  Scratch scratch;
  std::string path = scratch.path("no/such/out");
  CHECK(io_error([&] { write_file_atomic(path, "x"); }) == "write: " + path + ": its directory does not exist; make it first");
  CHECK(io_error([&] { write_file_atomic(scratch.path(), "x"); }) == "write: " + scratch.path() + ": is a directory; give a file name");
  CHECK(io_error([&] { write_file_atomic("", "x"); }) == "write: the path is empty");
  CHECK(io_error([&] { write_file_atomic("/dev/full", "x"); }) ==
        "write: /dev/full: the disk is full (or the quota used up): free some space or write elsewhere");
  write_file_atomic("/dev/null", "x");
  CHECK(std::filesystem::is_character_file("/dev/null"));  // written to, not replaced
}

TEST_CASE("AtomicFile: a write that fails, or is abandoned, leaves the old file and nothing else") {
  Scratch scratch;
  std::string path = scratch.put("out", "old");
  {
    FileSizeLimit limit(65536);
    CHECK(io_error([&] { write_file_atomic(path, std::string(100'000, 'x')); }) ==
          "write: " + path + ": the file would exceed the file size limit (ulimit -f); the old file is unchanged");
    std::string fresh = scratch.path("fresh");
    CHECK(io_error([&] { write_file_atomic(fresh, std::string(100'000, 'x')); }) ==
          "write: " + fresh + ": the file would exceed the file size limit (ulimit -f); nothing was written");
  }
  {
    AtomicFile file(path);
    file.write("half");
    CHECK(scratch.get("out") == "old");
  }
  CHECK(scratch.get("out") == "old");
  CHECK(scratch.files() == 1);
}

TEST_CASE("write_file_atomic: files that an earlier process of our number left behind do not stand in the way") {
  Scratch scratch;
  std::string next;  // what the next temporary file is called
  {
    AtomicFile file(scratch.path("out"));
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) next = entry.path().filename();
  }
  size_t end = next.rfind(".tmp"), start = next.rfind('.', end - 1) + 1;
  int64_t number = std::stoll(next.substr(start, end - start));
  for (int i = 1; i <= 3; ++i) scratch.put(next.substr(0, start) + std::to_string(number + i) + ".tmp", "left");
  write_file_atomic(scratch.path("out"), "whole");
  CHECK(scratch.get("out") == "whole");
}

TEST_CASE("remove_abandoned_files: takes what killed processes left and nothing else") {
  Scratch scratch;
  std::string path = scratch.path("out");
  pid_t child = fork();
  if (child == 0) {
    AtomicFile file(path);
    file.write("half");
    std::_Exit(0);  // as a killed process: nothing is cleaned up
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(scratch.files() == 1);
  std::string gone = "." + std::to_string(child) + ".0.tmp";
  for (const char* kept : {".tmp", ".a.tmp", ".a.b.0.tmp", "notes.0.tmp", ".a.1.0.tmp.txt", ".a.1.0x.tmp"}) scratch.put(kept, "mine");
  scratch.put("visible" + gone, "mine");
  AtomicFile running(path);
  CHECK(scratch.files() == 9);
  remove_abandoned_files(scratch.path());
  CHECK(scratch.files() == 8);
  CHECK_FALSE(scratch.has(".out" + gone));
  running.write("whole");
  running.commit();
  CHECK(scratch.get("out") == "whole");
  remove_abandoned_files(scratch.path("missing"));
}

TEST_CASE("MappedFile: writing to its memory does not change the file, replacing the file does not change the memory") {
  Scratch scratch;
  std::string path = scratch.put("out", "content");
  MappedFile mapped(path);
  mapped.data()[0] = std::byte{'C'};
  CHECK(mapped.text() == "Content");
  CHECK(scratch.get("out") == "content");
  write_file_atomic(path, "else");
  CHECK(mapped.text() == "Content");
}
