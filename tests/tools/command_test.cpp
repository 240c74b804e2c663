// The frame of the `plumb` command: help, exit codes, one clear line for every mistake.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "tests/tools/run_command.h"

TEST_CASE("plumb: help and version go to stdout and succeed") {
  Outcome help = run_plumb("--help");
  CHECK(help.code == 0);
  CHECK(help.err.empty());
  for (const char* command : {"data ", "info "}) CHECK(help.out.find(std::string("\n  ") + command) != std::string::npos);
  CHECK(run_plumb("data fetch --help").out.find("--to") != std::string::npos);
  CHECK(run_plumb("sample --help").out.find("=-2") == std::string::npos);  // no number that stands for "not given" is shown as a default
  Outcome version = run_plumb("--version");
  CHECK(version.code == 0);
  CHECK(version.out.starts_with("plumb "));
}

TEST_CASE("plumb: mistakes on the command line are one line with a hint and exit code 2") {
  struct {
    const char *arguments, *err;
  } mistakes[] = {
      {"inof", "plumb: unknown command inof, did you mean info? (see plumb --help)\n"},
      {"train foo", "plumb: train: unknown command foo (see plumb train --help)\n"},
      {"data fetsh", "plumb: data: unknown command fetsh, did you mean fetch? (see plumb data --help)\n"},
      {"data subset x --out y --cuont 3",
       "plumb: data subset: unknown option --cuont, did you mean --count? (see plumb data subset --help)\n"},
      {"data subset x --out y --wholly-unlike=1", "plumb: data subset: unknown option --wholly-unlike (see plumb data subset --help)\n"},
      {"info extra", "plumb: info: unexpected argument extra (see plumb info --help)\n"},
      {"data subset x --count 1", "plumb: data subset: --out is required (see plumb data subset --help)\n"},
      {"data", "plumb: data: a command is missing: one of fetch, subset, pretrained (see plumb data --help)\n"},
  };
  for (const auto& mistake : mistakes) {
    CAPTURE(mistake.arguments);
    Outcome outcome = run_plumb(mistake.arguments);
    CHECK(outcome.code == 2);
    CHECK(outcome.err == mistake.err);
    CHECK(outcome.out.empty());
  }
}

TEST_CASE("plumb: errors of the work are one line and exit code 2") {
  Outcome missing = run_plumb("data subset no/such.csv --out out.csv --count 3");
  CHECK(missing.code == 2);
  CHECK(missing.err.starts_with("plumb: data subset: "));
  CHECK(missing.err.find("no/such.csv") != std::string::npos);
  CHECK(std::count(missing.err.begin(), missing.err.end(), '\n') == 1);
  Outcome unknown = run_plumb("data fetch minst");
  CHECK(unknown.code == 2);
  CHECK(unknown.err.starts_with("plumb: data fetch: there is no data set minst; known are mnist, "));
}

TEST_CASE("plumb: a full standard output is an error") {
  Outcome full = run_shell(std::string(std::getenv("PLUMB_BINARY")) + " data fetch --list >/dev/full");
  CHECK(full.code == 2);
  CHECK(full.err == "plumb: data fetch: standard output cannot be written\n");
  Outcome help = run_shell(std::string(std::getenv("PLUMB_BINARY")) + " train gpt --help >/dev/full");
  CHECK(help.code == 2);
  CHECK(help.err == "plumb: train gpt: standard output cannot be written\n");
}

TEST_CASE("plumb info: names the build, the processor, the BLAS and its kernels, devices, threads and memory") {
  Outcome info = run_plumb("info");
  CHECK(info.code == 0);
  for (const char* row : {"version ", "build ", "processor ", "features ", "BLAS ", "devices ", "threads ", "memory "})
    CHECK_MESSAGE(("\n" + info.out).find("\n" + std::string(row)) != std::string::npos, row);
  CHECK(info.out.find("OpenBLAS") != std::string::npos);
  CHECK(info.out.find("GiB") != std::string::npos);
}

TEST_CASE("plumb info: says what a pinned BLAS costs") {
  Outcome pinned = run_shell("OPENBLAS_CORETYPE=Prescott " + std::string(std::getenv("PLUMB_BINARY")) + " info");
  CHECK(pinned.code == 0);
  CHECK(pinned.out.find("OPENBLAS_CORETYPE=Prescott chooses the BLAS kernels: ") != std::string::npos);
  CHECK(pinned.out.find("with it unset") != std::string::npos);  // a speed, or that it fails
  CHECK(run_shell("env -u OPENBLAS_CORETYPE " + std::string(std::getenv("PLUMB_BINARY")) + " info").out.find("CORETYPE") ==
        std::string::npos);
}

TEST_CASE("plumb: a full disk under the log, and a closed one, do not stop the work") {
  plumb_test::Scratch scratch;
  for (const char* log : {"2>/dev/full", "2>&-"}) {
    CAPTURE(log);
    std::string run = scratch.path(log[2] == '&' ? "closed" : "full");
    Outcome o = run_plumb("train classifier --data digits --model mlp --hidden 8 --batch 16 --steps 4 --out " + run + " " + log);
    CHECK(o.code == 0);
    CHECK(run_shell("test -s " + run + "/report.html").code == 0);
  }
}

TEST_CASE("plumb: a text that is not UTF-8 is named") {
  plumb_test::Scratch scratch;
  std::string path = scratch.put("latin.txt", std::string(400, 'a') + "\xff");
  Outcome o = run_plumb("train gpt --tokenizer char --data " + path + " --out " + scratch.path("run"));
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.starts_with("plumb: train gpt: " + path + ": char tokenizer: the text is not UTF-8 at byte 400"), o.err);
}

TEST_CASE("plumb: a path that is not UTF-8 is one clear line") {
  plumb_test::Scratch scratch;
  Outcome o = run_plumb("train gpt --data " + scratch.put("caf\xe9.txt", std::string(400, 'a') + std::string(400, 'b')) +
                        " --context 8 --out " + scratch.path("run"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: train gpt: data[0] is not UTF-8, which JSON cannot hold; rename the file or convert its text to UTF-8\n");
  CHECK(run_shell("test -e " + scratch.path("run")).code != 0);
}

TEST_CASE("plumb: numbers that are not finite are refused, whatever the option, before anything is done") {
  plumb_test::Scratch scratch;
  std::string out = " --out " + scratch.path("run");
  for (const char* command : {"train gpt --data x --clip inf", "train gpt --data x --lr nan", "train unet --data digits --noise-mean nan",
                              "train vae --data digits --beta inf", "train consistency --data digits --grid 0.1 inf",
                              "train forecast --data x --lags 1e999", "sample x --temperature nan", "sample x --churn inf",
                              "audit x --data y --protected z --split nan", "bench kernels --seconds inf"}) {
    std::string option = std::string(command).substr(std::string(command).rfind("--"));
    Outcome o = run_plumb(command + (std::string(command).starts_with("train") ? out : ""));
    CHECK(o.code == 2);
    CHECK_MESSAGE(o.err.find(option.substr(0, option.find(' ')) + ": must be a finite number, it is ") != std::string::npos, o.err);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
  }
  CHECK(!std::filesystem::exists(scratch.path("run")));
}
