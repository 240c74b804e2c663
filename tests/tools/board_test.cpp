// The server of `plumb board`: what it answers, and that it answers nobody and nothing else.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <ifaddrs.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "engine/core/error.h"
#include "models/train/run_directory.h"
#include "tests/tools/run_command.h"
#include "tools/board/server.h"

using namespace plumb;
using plumb_test::Scratch;

namespace {

// Sends `request` to a port of an address and returns the whole answer; empty if nobody listens there.
std::string ask(const std::string& address, int port, const std::string& request) {
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  std::string answer;
  if (connect(connection, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    send(connection, request.data(), request.size(), MSG_NOSIGNAL);
    char piece[4096];
    for (ssize_t n; (n = recv(connection, piece, sizeof piece, 0)) > 0;) answer.append(piece, static_cast<size_t>(n));
  }
  close(connection);
  return answer;
}

struct Board {
  Scratch s;
  train::RunDirectory run = train::RunDirectory::create(s.path("run"), R"({"kind": "gpt"})");
  tools::BoardServer server{{train::RunDirectory::open(run.path())}, 0};
  std::thread thread{[this] { server.serve(); }};

  ~Board() {
    server.stop();
    thread.join();
  }
  std::string host() const { return "127.0.0.1:" + std::to_string(server.port()); }
  std::string request(const std::string& method, const std::string& path, const std::string& host) const {
    return ask("127.0.0.1", server.port(),
               method + " " + path + " HTTP/1.1\r\n" + (host.empty() ? "" : "Host: " + host + "\r\n") + "Connection: close\r\n\r\n");
  }
  std::string get(const std::string& path) const { return request("GET", path, host()); }
};

int status(const std::string& answer) { return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9)) : 0; }
std::string body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

// An address of this machine other than loopback; empty if it has none.
std::string other_address() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (ifaddrs* a = all; a; a = a->ifa_next) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(a->ifa_addr)->sin_addr, text, sizeof text);
    if (!std::string(text).starts_with("127.")) found = text;
  }
  freeifaddrs(all);
  return found;
}

}  // namespace

TEST_CASE("board: the page, its parts, what runs hold, and only what is new of it") {
  Board board;
  std::ofstream(board.run.file("metrics.jsonl")) << "{\"step\":1,\"train_loss\":4.5}\n";
  std::string page = board.get("/");
  CHECK(status(page) == 200);
  CHECK(page.find("Content-Security-Policy: default-src 'none'; script-src 'self'") != std::string::npos);
  for (const char* part : {"/board.css", "/chart.js", "/board.js"}) CHECK(status(board.get(part)) == 200);
  std::string data = body(board.get("/data"));
  CHECK(data.find("\"train_loss\":{\"step\":[1],\"value\":[4.5]}") != std::string::npos);
  size_t at = data.find("\"version\":\"") + 11;
  std::string known = "/data?known=" + data.substr(at, data.find('"', at) - at);
  CHECK(body(board.get(known)) == "{\"runs\":[null]}");
  std::ofstream(board.run.file("metrics.jsonl"), std::ios::app) << "{\"step\":2,\"train_loss\":4.25}\n";
  CHECK(body(board.get(known)).find("\"value\":[4.5,4.25]") != std::string::npos);
  CHECK(body(board.get("/histograms/0")) == "{\"lines\":[]}");
  board.run.save_samples(7, full({1, 1, 2, 2}, 0.5), "Digits");
  CHECK(body(board.get("/samples/0/7.png")).starts_with("\x89PNG"));
}

TEST_CASE("board: nothing else is served, whatever way an address is written") {
  Board board;
  board.s.put("secret.txt", "secret");
  board.s.put("run/samples/secret.txt", "secret");
  std::filesystem::create_symlink(board.s.path("secret.txt"), board.run.samples_path(1));
  for (const char* path : {"/config.json",
                           "/run/config.json",
                           "/checkpoints/",
                           "/../secret.txt",
                           "/samples/0/../../../secret.txt",
                           "/%2e%2e/secret.txt",
                           "/samples/0/%2e%2e%2fsecret.txt",
                           "/samples/0/..%2f..%2fsecret.txt",
                           "/samples/0/secret.txt",
                           "/samples/0/1.png",
                           "/samples/1/1.png",
                           "/samples/0/-1.png",
                           "/samples/0/1.png%00.txt",
                           "/samples/99999999999999999999/1.png",
                           "/samples/0/99999999999999999999.png",
                           "/histograms/1",
                           "/histograms/x",
                           "//etc/passwd",
                           "/etc/passwd",
                           "/data/../etc/passwd",
                           "http://example.org/",
                           "/board.js/",
                           "/index.html"}) {
    std::string answer = board.get(path);
    CHECK_MESSAGE(status(answer) == 404, path << ": " << status(answer));
    CHECK_MESSAGE(answer.find("secret") == std::string::npos, path);
  }
}

TEST_CASE("board: a Host that is not this machine's loopback, and methods that change things, are refused") {
  Board board;
  std::string port = std::to_string(board.server.port());
  for (const std::string& host : {"localhost:" + port, "[::1]:" + port, board.host()})
    CHECK(status(board.request("GET", "/data", host)) == 200);
  for (const std::string& host : {std::string(), std::string("example.org"), "example.org:" + port, std::string("127.0.0.1"),
                                  "127.0.0.1.example.org:" + port, "127.0.0.1:1" + port, "0.0.0.0:" + port}) {
    std::string answer = board.request("GET", "/data", host);
    CHECK_MESSAGE(status(answer) == 403, host << ": " << status(answer));
    CHECK(answer.find("runs") == std::string::npos);
  }
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
    CHECK_MESSAGE(status(board.request(method, "/", board.host())) == 405, method);
  CHECK(body(board.request("HEAD", "/", board.host())).empty());
}

TEST_CASE("board: a connection has one request, whatever is hidden in what a refused one carries; two Hosts are none") {
  Board board;
  std::string hidden = "GET /data HTTP/1.1\r\nHost: " + board.host() + "\r\nX: ";
  for (const char* method : {"POST", "GET"}) {
    // 4,096 bytes of headers: the server reads so many at once, and forgets at the end of a request what else it has read.
    std::string head =
        std::string(method) + " / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: " + std::to_string(hidden.size()) + "\r\nP: ";
    head += std::string(4096 - head.size() - 4, 'p') + "\r\n\r\n";
    std::string answer =
        ask("127.0.0.1", board.server.port(), head + hidden + "GET /x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    CHECK(status(answer) == 403);
    CHECK_MESSAGE(answer.find("runs") == std::string::npos, method << ": " << answer);
  }
  std::string two = ask("127.0.0.1", board.server.port(),
                        "GET /data HTTP/1.1\r\nHost: " + board.host() + "\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
  CHECK(status(two) == 403);
}

TEST_CASE("board: it listens on loopback only") {
  std::string address = other_address();
  if (address.empty()) {
    MESSAGE("skipped: this machine has no address but loopback");
    return;
  }
  Board board;
  CHECK(ask(address, board.server.port(), "GET / HTTP/1.1\r\nHost: " + board.host() + "\r\nConnection: close\r\n\r\n").empty());
}

TEST_CASE("board: a port that is taken is said to be so") {
  Board board;
  std::string message = "port " + std::to_string(board.server.port()) +
                        " of 127.0.0.1 cannot be opened: Address already in use; give another --port, or 0 for one that is free";
  CHECK_THROWS_WITH_AS(tools::BoardServer({}, board.server.port()), message.c_str(), IoError);
}

TEST_CASE("plumb board: mistakes are one line; --out writes the page of several runs into a file") {
  Scratch s;
  for (const char* name : {"a", "b"}) {
    auto run = train::RunDirectory::create(s.path(name), R"({"kind": "gpt"})");
    std::ofstream(run.file("metrics.jsonl")) << "{\"step\":1,\"train_loss\":4.5}\n";
  }
  Outcome missing = run_plumb("board " + s.path("c"));
  CHECK(missing.code == 2);
  CHECK(missing.err == "plumb: board: run: " + s.path("c") + " is not a run directory (it has no config.json)\n");
  CHECK(run_plumb("board " + s.path("a") + " " + s.path("a")).err == "plumb: board: " + s.path("a") + " is given twice\n");
  CHECK(run_plumb("board " + s.path("a") + " --port 70000").err == "plumb: board: --port must lie between 0 and 65535, it is 70000\n");
  CHECK(run_plumb("board " + s.path("a") + " --port 1 --out x").code == 2);
  Outcome frozen = run_plumb("board " + s.path("a") + " " + s.path("b") + " --out " + s.path("page.html"));
  CHECK(frozen.code == 0);
  std::string page = s.get("page.html");
  CHECK(page.find("<title>2 runs</title>") != std::string::npos);
  CHECK(page.find("\"name\":\"" + s.path("b") + "\"") != std::string::npos);
}

TEST_CASE("plumb board: says where it is, and ends with Ctrl-C") {
  Scratch s;
  train::RunDirectory::create(s.path("run"), "{}");
  std::string command = std::string(std::getenv("PLUMB_BINARY")) + " board " + s.path("run") + " --port 0 >" + s.path("said") +
                        " & pid=$!; for i in $(seq 100); do grep -q http " + s.path("said") +
                        " && break; sleep 0.05; done; kill -INT $pid; wait $pid";
  Outcome outcome = run_shell("trap '' HUP; set -m; " + command);
  CHECK(outcome.code == 0);
  CHECK(s.get("said").starts_with("http://127.0.0.1:"));
}
