// The set-up scripts: what they say when they cannot install.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/io/file.h"
#include "tests/tools/run_command.h"

using plumb_test::Scratch;

namespace {

std::string source(const std::string& path) { return std::string(std::getenv("PLUMB_SOURCE")) + "/" + path; }

/// A directory of programs that stand in for the system's: `id` says an ordinary user, dpkg-query knows nothing but `known`.
void pretend(const Scratch& bin, const std::string& known) {
  bin.put("id", "#!/bin/sh\necho 1000\n");
  bin.put("dpkg-query", "#!/bin/sh\nfor p; do :; done\ncase \" " + known + " \" in *\" $p \"*) echo 'ii ';; *) exit 1;; esac\n");
  bin.put("apt-get", "#!/bin/sh\necho apt-get must not run >&2\nexit 1\n");
  bin.put("sudo", "#!/bin/sh\nexit 1\n");
  for (const char* name : {"id", "dpkg-query", "apt-get", "sudo"})
    std::filesystem::permissions(bin.path(name), std::filesystem::perms::owner_all);
}

}  // namespace

TEST_CASE("packages.sh: without root it prints the one command that installs what is missing, and exits 2") {
  Scratch bin;
  pretend(bin, "g++ cmake ninja-build libopenblas-dev libfmt-dev zlib1g-dev libpng-dev libjpeg-dev nlohmann-json3-dev");
  Outcome outcome = run_shell("PATH=" + bin.path() + ":$PATH bash " + source("tools/packages.sh") + " build");
  CHECK(outcome.code == 2);
  CHECK(outcome.err ==
        "Some packages are missing; install them with:\n"
        "  sudo apt-get update && sudo apt-get install -y --no-install-recommends libcli11-dev libcurl4-openssl-dev libcpp-httplib-dev "
        "pkg-config\n");
}

TEST_CASE("packages.sh: does nothing when everything is there, or when told to") {
  Scratch bin;
  pretend(bin, "libbenchmark-dev");
  CHECK(run_shell("PATH=" + bin.path() + ":$PATH bash " + source("tools/packages.sh") + " bench").code == 0);
  CHECK(run_shell("PLUMB_SKIP_PACKAGES=1 PATH=" + bin.path() + ":$PATH bash " + source("tools/packages.sh") + " build").code == 0);
}

TEST_CASE("packages.sh: on another system it names what is needed and exits 2") {
  Scratch bin;
  std::filesystem::create_symlink("/bin/bash", bin.path("bash"));
  Outcome outcome = run_shell("PATH=" + bin.path() + " bash " + source("tools/packages.sh") + " bench");
  CHECK(outcome.code == 2);
  CHECK(outcome.err.find("libbenchmark-dev") != std::string::npos);
  CHECK(outcome.err.find("PLUMB_SKIP_PACKAGES=1") != std::string::npos);
}

TEST_CASE("quickstart.sh: a text that cannot be read is named before anything is done") {
  Outcome outcome = run_shell("bash " + source("tools/quickstart.sh") + " no/such.txt");
  CHECK(outcome.code == 2);
  CHECK(outcome.err == "quickstart: no/such.txt: no such file, or not readable\n");
}

TEST_CASE("gpu_check.sh: without a GPU it says what is missing and exits 2, having built nothing") {
  Scratch bin;
  for (const char* tool : {"bash", "dirname", "realpath"})
    std::filesystem::create_symlink(std::filesystem::path("/usr/bin") / tool, bin.path(tool));
  Outcome outcome = run_shell("PATH=" + bin.path() + " bash " + source("tools/gpu_check.sh") + " --out " + bin.path("out.json"));
  CHECK(outcome.code == 2);
  CHECK(outcome.err == "gpu_check: nvidia-smi was not found: this runs on a machine with a GPU, CUDA, CMake and Ninja\n");
  CHECK_FALSE(std::filesystem::exists(bin.path("out.json")));
}

TEST_CASE("gpu_check.sh: a GPU that the programs cannot use, so that every test would be skipped, is a failure") {
  Scratch bin;
  bin.put("nvidia-smi", "#!/bin/sh\ncase \"$1\" in *compute_cap*) echo 9.0;; *) echo 'some GPU, 1.0, 80 GiB';; esac\n");
  bin.put("ctest", "#!/bin/sh\necho '100% tests passed, 0 tests failed out of 1'\n");
  std::filesystem::create_directories(bin.path("build/tests"));
  bin.put("build/tests/cuda_tests", "#!/bin/sh\necho 'skipped: the driver is too old'\n");
  for (const char* name : {"nvidia-smi", "ctest", "build/tests/cuda_tests"})
    std::filesystem::permissions(bin.path(name), std::filesystem::perms::owner_all);
  Outcome outcome = run_shell("PATH=" + bin.path() + ":$PATH bash " + source("tools/gpu_check.sh") + " --built --no-bench --build " +
                              bin.path("build") + " --out " + bin.path("out.json"));
  CHECK(outcome.code == 1);
  std::string written = plumb::read_file(bin.path("out.json"));
  CHECK(written.find("\"passed\": false") != std::string::npos);
  CHECK(written.find("skipped: the driver is too old") != std::string::npos);
  CHECK(written.find("tests_on_gpu") == std::string::npos);
}
