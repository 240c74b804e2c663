// `plumb bench steps`, `overhead` and `memory`: the form of their lines, and peers that behave and that do not. How long anything takes is
// not looked at: the peer here makes its times up.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tools/json_rows.h"
#include "tests/tools/run_command.h"

using plumb_test::rows_of;
using plumb_test::Scratch;
using Json = nlohmann::json;

namespace {

/// A peer of a tiny GPT that says that every step took two seconds.
const char* const kPeer = R"(#!/bin/sh
echo '{"work":"gpt-tiny","unit":"tokens","items":32,"params":30656,"peer":"fake 1.0","device":"cpu","dtype":"f32","compile":false,"threads":1,"optimiser":"plain"}'
while read steps; do echo '{"step_s":[2,2,2]}'; done
echo '{"peak_mib":300,"over_import_mib":100,"first_loss":5,"last_loss":4.5}'
)";

std::string peer(const Scratch& scratch, const std::string& text) {
  scratch.put("peer.sh", text);
  std::filesystem::permissions(scratch.path("peer.sh"), std::filesystem::perms::owner_all);
  return scratch.path("peer.sh");
}

}  // namespace

TEST_CASE("bench steps: a line on the machine, then one for each workload, with intervals") {
  std::vector<Json> rows = rows_of(run_plumb("bench steps --size tiny --only gpt tiny --rounds 2 --steps 1 --threads 1 --json"));
  REQUIRE(rows.size() == 3);
  CHECK(rows[0]["bench"] == "environment");
  for (const char* name : {"command", "date", "plumb", "build", "processor", "cores", "memory_gib", "load", "blas", "system"})
    CHECK_MESSAGE(rows[0].contains(name), name);
  const Json& gpt = rows[1];
  CHECK(gpt["work"] == "gpt-tiny");
  CHECK(gpt["threads"] == 1);
  CHECK(gpt["rounds"] == 2);
  CHECK(gpt["params"] == 30144);
  CHECK(gpt["step_s_95"][0] <= gpt["step_s"]);
  CHECK(gpt["step_s"] <= gpt["step_s_95"][1]);
  CHECK(gpt["tokens_per_s"].get<double>() == doctest::Approx(2 * 16 / gpt["step_s"].get<double>()));
  CHECK(gpt["over_import_mib"] < gpt["peak_mib"]);
  CHECK(gpt["last_loss"] < gpt["first_loss"]);
  CHECK(rows[2]["work"] == "tiny");
  CHECK(rows[2]["ns_per_op_fwd_bwd"] > 0);
}

TEST_CASE("bench steps: beside a peer, its row says how many times longer it takes and how our memory compares") {
  Scratch scratch;
  std::vector<Json> rows =
      rows_of(run_plumb("bench steps --size tiny --only gpt --rounds 3 --steps 1 --json --against " + peer(scratch, kPeer)));
  REQUIRE(rows.size() == 3);
  const Json &own = rows[1], &fake = rows[2];
  CHECK(fake["peer"] == "fake 1.0");
  CHECK(fake["side"] == "peer.sh");
  CHECK(fake["step_s"] == doctest::Approx(2));
  CHECK(fake["ratio"].get<double>() == doctest::Approx(2 / own["step_s"].get<double>()));
  CHECK(fake["memory_ratio"].get<double>() == doctest::Approx(own["over_import_mib"].get<double>() / 100));
  CHECK(fake["fastest"] == true);
  CHECK(fake["last_loss"] == doctest::Approx(4.5));
  CHECK(fake["same_params"] == false);
}

TEST_CASE("bench steps: steps that did not learn anything finite are not compared") {
  Scratch scratch;
  std::string spoilt = kPeer;
  spoilt.replace(spoilt.find("echo '{\"peak_mib"), std::string::npos, "echo '{\"error\":\"the loss is nan at the end\"}'\n");
  Outcome o = run_plumb("bench steps --size tiny --only gpt --rounds 1 --steps 1 --against " + peer(scratch, spoilt));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: bench steps: peer.sh: the loss is nan at the end\n");
}

TEST_CASE("bench memory: a round is enough") {
  std::vector<Json> rows = rows_of(run_plumb("bench memory --size tiny --only resnet --steps 1 --json"));
  REQUIRE(rows.size() == 2);
  CHECK(rows[1]["bench"] == "memory");
  CHECK(rows[1]["rounds"] == 1);
}

TEST_CASE("bench overhead: what recording and going back add, and the start of a process") {
  std::vector<Json> rows = rows_of(run_plumb("bench overhead --rounds 1 --steps 1 --only tiny-views start --json"));
  REQUIRE(rows.size() == 3);
  CHECK(rows[1]["ns_per_op"] > 0);
  CHECK(rows[2]["bench"] == "start");
  CHECK(rows[2]["first_step_s"] > 0);
}

TEST_CASE("bench steps: a peer that fails is one line that names it") {
  Scratch scratch;
  auto message = [&](const std::string& text) {
    Outcome o = run_plumb("bench steps --size tiny --only gpt --rounds 1 --steps 1 --against " + peer(scratch, text));
    CHECK(o.code == 2);
    return o.err;
  };
  CHECK(message("#!/bin/sh\necho oops >&2\nexit 1\n") == "plumb: bench steps: peer.sh ended: oops\n");
  CHECK(message("#!/bin/sh\nexit 3\n") == "plumb: bench steps: peer.sh ended with exit code 3\n");
  CHECK(message("#!/bin/sh\necho '{\"error\": \"no licence\"}'\n") == "plumb: bench steps: peer.sh: no licence\n");
  CHECK(message("#!/bin/sh\necho '{\"unit\": \"tokens\"}'\nread n\necho '{}'\n") ==
        "plumb: bench steps: peer.sh: an answer without \"step_s\"\n");
}

TEST_CASE("bench steps: without Python or PyTorch the cure is named") {
  Outcome o = run_plumb("bench steps --size tiny --only gpt --rounds 1 --steps 1 --against torch --python /nowhere/python");
  CHECK(o.code == 2);
  CHECK(o.err ==
        "plumb: bench steps: /nowhere/python cannot be started: No such file or directory; --python PATH or PLUMB_PYTHON names a Python "
        "that has PyTorch\n");
  Scratch scratch;
  scratch.put("torch.py", "raise ImportError('not here')\n");  // hides one that may be installed
  o = run_shell("PYTHONPATH=" + scratch.path() + " " + std::string(std::getenv("PLUMB_BINARY")) +
                " bench steps --size tiny --only gpt --rounds 1 --steps 1 --against torch");
  CHECK(o.code == 2);
  CHECK(o.err ==
        "plumb: bench steps: torch eager: this Python has no PyTorch (not here); --python PATH or PLUMB_PYTHON names a Python that has "
        "PyTorch\n");
}

TEST_CASE("bench steps: what is unknown or out of range is said before anything runs") {
  auto message = [](const std::string& arguments) {
    Outcome o = run_plumb("bench steps " + arguments);
    CHECK(o.code == 2);
    CHECK(o.out.empty());
    return o.err;
  };
  CHECK(message("--only gtp") == "plumb: bench steps: --only gtp is unknown; choose from gpt, moe, unet, resnet, tiny\n");
  CHECK(message("--rounds 0") == "plumb: bench steps: --rounds must be at least 1, it is 0\n");
  CHECK(message("--against jax") ==
        "plumb: bench steps: --against jax is unknown; choose torch, torch-eager or torch-compiled, or give the path of a program\n");
  CHECK(message("--dtype f8") == "plumb: bench steps: --dtype f8 is unknown; choose f32, tf32, bf16 or f16\n");
  CHECK(message("--winograd 3x3") == "plumb: bench steps: --winograd 3x3 is unknown; choose off, 2x2 or 4x4\n");
}

TEST_CASE("bench worker: a turn that is no number ends it") {
  Outcome o = run_shell("echo many | " + std::string(std::getenv("PLUMB_BINARY")) + " bench worker tiny --warmup 0");
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: bench worker: --turns: a turn is a line with a number of steps, not \"many\"\n");
}
