// The web server of `plumb board`: one page about some runs, for browsers on this machine and nobody else.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/train/run_directory.h"

namespace plumb::tools {

/// What it answers, to GET and HEAD alone: "/", the page's own files, /data, /histograms/N, /samples/N/STEP.png; N is a run's place in the
/// list. No part of an address is ever part of a path, files outside the run directories are not served even where links lead there, and a
/// request whose Host is not this machine by its loopback names is refused, so that no page from elsewhere can read what is served here.
class BoardServer {
 public:
  /// Listens on 127.0.0.1; `port` 0 takes one that is free. Throws IoError naming the port if it cannot be opened, or if this build has no
  /// web server.
  BoardServer(std::vector<train::RunDirectory> runs, int port);
  ~BoardServer();
  BoardServer(const BoardServer&) = delete;
  BoardServer& operator=(const BoardServer&) = delete;

  int port() const;
  /// Answers until stop() is called. Once.
  void serve();
  /// From another thread; waits for serve() to have begun.
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace plumb::tools
