// A web server on this machine's loopback address for the tests of downloads: it can cut connections, refuse ranges, and counts requests.
#pragma once
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

class LoopbackServer {
 public:
  struct Page {
    std::string content;
    std::vector<size_t> cuts;   ///< the i-th answer stops after cuts[i] bytes of its body
    bool accepts_ranges = true;
  };
  /// Serves `pages` ("/name" → page) from a thread of its own until it is destroyed.
  explicit LoopbackServer(std::map<std::string, Page> pages);
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  /// The Range headers of the requests so far, "" for one without.
  const std::vector<std::string>& ranges() const { return ranges_; }

 private:
  void serve();
  void answer(int connection);
  std::map<std::string, Page> pages_;
  std::map<std::string, size_t> served_;
  std::vector<std::string> ranges_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};
