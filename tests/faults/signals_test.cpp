// Signals that end a run, a terminal that is gone, and an output that nobody reads.
#include <doctest/doctest.h>

#include <csignal>

#include "models/train/interrupt.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"
#include "tests/faults/process.h"
#include "tests/faults/small_run.h"

using namespace plumb;
using plumb_test::Process;
using plumb_test::SmallRuns;
using plumb_test::wait_for_lines;

TEST_CASE("signals: SIGINT, SIGTERM and SIGHUP finish the step, write a checkpoint, say so, and the run goes on with the same bits") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("whole", 400)).code == 0);
  int lines = 5;
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Process process(r.train("cut", 400));
    REQUIRE(wait_for_lines(process, r.run("cut") + "/metrics.jsonl", lines));
    process.kill(signal);
    CHECK(process.wait() == 128 + signal);
    int64_t step = train::RunDirectory::open(r.run("cut")).latest()->step;
    CHECK(train::read_metrics(r.run("cut") + "/metrics.jsonl").back().step == step);
    std::string expected = "interrupted after step " + std::to_string(step) + "; saved. Go on with --resume " + r.run("cut") + "\n";
    CHECK_MESSAGE(process.errors().find(expected) != std::string::npos, process.errors());
    lines += 30;
  }
  REQUIRE(run_plumb(r.train("cut")).code == 0);
  CHECK(r.weights("cut") == r.weights("whole"));
}

TEST_CASE("signals: a terminal that is closed sends SIGHUP twice, and the run saves all the same") {
  pid_t child = fork();
  if (child == 0) {
    train::InterruptScope scope;
    raise(SIGHUP);
    raise(SIGHUP);
    _exit(train::InterruptScope::signal() == SIGHUP ? 7 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("signals: the first is noted, a second ends the process at once, and afterwards all is as before") {
  for (int signal : {SIGINT, SIGTERM}) {
    pid_t child = fork();
    if (child == 0) {
      train::InterruptScope scope;
      raise(signal);
      if (train::InterruptScope::signal() != signal) _exit(1);
      raise(signal);
      _exit(2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 128 + signal);
    auto own = [](int) {};
    auto before = std::signal(signal, own);
    { train::InterruptScope scope; }
    CHECK((std::signal(signal, before) == static_cast<void (*)(int)>(own)));
  }
}

TEST_CASE("signals: under nohup a lost terminal does not end the run") {
  SmallRuns r;
  Process process(r.train("a"), "trap '' HUP;");
  REQUIRE(wait_for_lines(process, r.run("a") + "/metrics.jsonl", 3));
  process.kill(SIGHUP);
  CHECK(process.wait() == 0);
}

TEST_CASE("signals: a reader of the output that goes away does not end the run") {
  SmallRuns r;
  REQUIRE(run_plumb(r.train("whole")).code == 0);
  Outcome o = run_shell("{ $PLUMB_BINARY " + r.train("piped") + " 2>&1 ; echo $? >" + r.scratch.path("code") + " ; } | head -n 1");
  CHECK(o.out.starts_with("gpt: "));
  CHECK(r.scratch.get("code") == "0\n");
  CHECK(r.weights("piped") == r.weights("whole"));
}
