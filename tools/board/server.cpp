// Answering browsers, through cpp-httplib.
#include "tools/board/server.h"

#include <fmt/format.h>

#include "engine/core/error.h"

#ifdef PLUMB_HAS_HTTPLIB

#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include "models/train/page.h"

namespace plumb::tools {
namespace {

using httplib::Request;
using httplib::Response;

const char* type_of(const std::string& name) {
  return name.ends_with(".css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8";
}

// The page may load what this server gives and nothing else, and nobody else may load from here.
const httplib::Headers kHeaders{{"Content-Security-Policy",
                                 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
                                 "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                                {"X-Content-Type-Options", "nosniff"},
                                {"Cache-Control", "no-store"},
                                {"Referrer-Policy", "no-referrer"},
                                {"Cross-Origin-Resource-Policy", "same-origin"}};

void refuse(Response& response, int status, const std::string& why) {
  response.status = status;
  response.set_content(why + "\n", "text/plain");
}

// A number of at most 18 digits, as the addresses below have them.
int64_t number(const std::string& digits) {
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words(1);
  for (char c : list) {
    if (c == ',') words.emplace_back();
    else words.back().push_back(c);
  }
  return words;
}

}  // namespace

struct BoardServer::Parts {
  httplib::Server http;
  std::atomic<bool> ended = false;
  int port = 0;
  std::mutex mutex;  // of runs: browsers ask in several connections
  std::vector<train::RunView> runs;

  std::string data(const std::string& known);
  void answer_about_runs();
  void refuse_strangers();
};

// The runs that changed since the versions in `known`; null for the others.
std::string BoardServer::Parts::data(const std::string& known) {
  std::vector<std::string> versions = words_of(known);
  std::lock_guard lock(mutex);
  std::string list;
  for (size_t i = 0; i < runs.size(); ++i) {
    bool changed = i >= versions.size() || versions[i] != runs[i].version();
    if (changed) runs[i].update();
    list += (i > 0 ? "," : "") + (changed ? runs[i].json(fmt::format("/samples/{}/", i)).text() : "null");
  }
  return "{\"runs\":[" + list + "]}";
}

void BoardServer::Parts::answer_about_runs() {
  http.Get("/data", [this](const Request& request, Response& response) {
    response.set_content(data(request.get_param_value("known")), "application/json");
  });
  http.Get(R"(/histograms/(\d{1,18}))", [this](const Request& request, Response& response) {
    std::lock_guard lock(mutex);
    auto run = static_cast<size_t>(number(request.matches[1]));
    if (run >= runs.size()) return refuse(response, 404, "there is no such run");
    response.set_content(runs[run].histograms().text(), "application/json");
  });
  http.Get(R"(/samples/(\d{1,18})/(\d{1,18})\.png)", [this](const Request& request, Response& response) {
    std::lock_guard lock(mutex);
    auto run = static_cast<size_t>(number(request.matches[1]));
    std::string png = run < runs.size() ? runs[run].picture(number(request.matches[2])) : "";
    if (png.empty()) return refuse(response, 404, "there is no such picture");
    response.set_content(png, "image/png");
  });
}

// A page from elsewhere can make a browser send requests here by giving its own name this machine's address; the Host tells.
void BoardServer::Parts::refuse_strangers() {
  std::set<std::string> names;
  for (const char* name : {"127.0.0.1", "localhost", "[::1]"}) {
    names.insert(fmt::format("{}:{}", name, port));
    if (port == 80) names.insert(name);  // which browsers leave out
  }
  http.set_pre_routing_handler([names](const Request& request, Response& response) {
    if (request.get_header_value_count("Host") != 1 || !names.contains(request.get_header_value("Host")))
      refuse(response, 403, "this page is for browsers on this machine: open http://127.0.0.1 with the port");
    else if (request.method != "GET" && request.method != "HEAD")
      refuse(response, 405, "only GET is answered");
    else
      return httplib::Server::HandlerResponse::Unhandled;
    return httplib::Server::HandlerResponse::Handled;
  });
}

BoardServer::BoardServer(std::vector<train::RunDirectory> runs, int port) : parts_(std::make_unique<Parts>()) {
  for (train::RunDirectory& run : runs) parts_->runs.emplace_back(std::move(run));
  httplib::Server& http = parts_->http;
  http.set_socket_options([](socket_t s) {  // the library's own also lets a second server have the same port
    int yes = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  http.new_task_queue = [] { return new httplib::ThreadPool(4); };  // owned by the library
  http.set_payload_max_length(1024);
  // One request a connection: what a refused request carries is never read as the next one.
  http.set_keep_alive_max_count(1);
  http.set_read_timeout(1);
  http.set_write_timeout(5);
  http.set_default_headers(kHeaders);
  errno = 0;
  parts_->port = port == 0 ? http.bind_to_any_port("127.0.0.1") : http.bind_to_port("127.0.0.1", port) ? port : -1;
  if (parts_->port < 0)
    throw IoError(fmt::format("port {} of 127.0.0.1 cannot be opened: {}; give another --port, or 0 for one that is free", port,
                              std::strerror(errno)));
  parts_->refuse_strangers();
  parts_->answer_about_runs();
  http.Get("/", [](const Request&, Response& response) { response.set_content(train::live_page(), "text/html; charset=utf-8"); });
  for (const char* name : {"board.css", "chart.js", "board.js"})
    http.Get("/" + std::string(name),
             [name](const Request&, Response& response) { response.set_content(std::string(train::page_part(name)), type_of(name)); });
}

BoardServer::~BoardServer() = default;
int BoardServer::port() const { return parts_->port; }
void BoardServer::serve() {
  parts_->http.listen_after_bind();
  parts_->ended = true;
}
void BoardServer::stop() {
  // The library's stop() does nothing before its server runs.
  while (!parts_->http.is_running() && !parts_->ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  parts_->http.stop();
}

}  // namespace plumb::tools

#else

namespace plumb::tools {

struct BoardServer::Parts {};

BoardServer::BoardServer(std::vector<train::RunDirectory>, int) {
  throw IoError(
      "this build has no web server: install libcpp-httplib-dev and pkg-config, configure and build again; or write the page into a file: "
      "--out PAGE.html");
}
BoardServer::~BoardServer() = default;
int BoardServer::port() const { return 0; }
void BoardServer::serve() {}
void BoardServer::stop() {}

}  // namespace plumb::tools

#endif
