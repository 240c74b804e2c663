// `plumb board RUN…`: runs looked at in a browser while they train.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "models/require.h"
#include "models/train/interrupt.h"
#include "models/train/page.h"
#include "tools/board/server.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

struct Options {
  std::vector<std::string> runs;
  int64_t port = 7070;
  std::string out;
};

std::vector<train::RunDirectory> opened(const std::vector<std::string>& paths) {
  std::vector<train::RunDirectory> runs;
  for (auto path = paths.begin(); path != paths.end(); ++path) {
    require(std::find(paths.begin(), path, *path) == path, *path + " is given twice");
    runs.push_back(train::RunDirectory::open(*path));
  }
  return runs;
}

int freeze(const Options& o) {
  std::vector<train::RunView> views;
  for (train::RunDirectory& run : opened(o.runs)) views.emplace_back(std::move(run));
  std::string title = o.runs.size() == 1 ? o.runs[0] : fmt::format("{} runs", o.runs.size());
  write_file_atomic(o.out, train::frozen_page(title, views));
  fmt::print("{}\n", o.out);
  return 0;
}

// Until Ctrl-C, which is how a board ends.
int serve(const Options& o) {
  require(o.port >= 0 && o.port <= 65535, fmt::format("--port must lie between 0 and 65535, it is {}", o.port));
  BoardServer server(opened(o.runs), static_cast<int>(o.port));
  train::InterruptScope interrupts;
  std::atomic<bool> over = false;
  std::thread serving([&] {
    server.serve();
    over = true;
  });
  fmt::print("http://127.0.0.1:{}/  (Ctrl-C ends it)\n", server.port());
  std::fflush(stdout);
  // Signals go to this thread, the first one: it sleeps, where the server's waits for a browser.
  while (!over && train::InterruptScope::signal() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server.stop();
  serving.join();
  return 0;
}

}  // namespace

extern const Command board_command;
const Command board_command{"board", "look at runs in a browser while they train", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.required("runs", o->runs, "run directories, overlaid in the same charts");
  line.option("--port", o->port, "port of 127.0.0.1 that serves the page; 0: any that is free");
  line.option("--out", o->out, "instead of serving it, write the page as it is now into this file");
  line.exclude("--out", "--port");
  return [o] { return o->out.empty() ? serve(*o) : freeze(*o); };
}};

}  // namespace plumb::tools
