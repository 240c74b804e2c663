// HTTP/1.1, one connection at a time, each closed after its answer: as little as a client needs.
#include "tests/tools/loopback_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace {

std::string header_of(const std::string& request, const std::string& name) {
  size_t at = request.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  at += name.size() + 4;
  return request.substr(at, request.find("\r\n", at) - at);
}

void send_all(int connection, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    ssize_t n = send(connection, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return;
    at += static_cast<size_t>(n);
  }
}

}  // namespace

LoopbackServer::LoopbackServer(std::map<std::string, Page> pages) : pages_(std::move(pages)) {
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 8) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("the loopback server cannot listen");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

LoopbackServer::~LoopbackServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);  // wakes accept
  thread_.join();
  close(listener_);
}

void LoopbackServer::serve() {
  while (!stopping_) {
    int connection = accept(listener_, nullptr, nullptr);
    if (connection < 0) continue;
    answer(connection);
    close(connection);
  }
}

void LoopbackServer::answer(int connection) {
  std::string request;
  char piece[2048];
  while (request.find("\r\n\r\n") == std::string::npos) {
    ssize_t n = recv(connection, piece, sizeof piece, 0);
    if (n <= 0) return;
    request.append(piece, static_cast<size_t>(n));
  }
  size_t space = request.find(' ');
  std::string path = request.substr(space + 1, request.find(' ', space + 1) - space - 1), range = header_of(request, "Range");
  ranges_.push_back(range);
  auto page = pages_.find(path);
  if (page == pages_.end()) return send_all(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  const Page& p = page->second;
  size_t from = p.accepts_ranges && range.starts_with("bytes=") ? std::stoul(range.substr(6)) : 0, size = p.content.size();
  if (from > size) return send_all(connection, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  std::string body = p.content.substr(from);
  std::string head = from > 0 ? "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + std::to_string(from) + "-" +
                                    std::to_string(size - 1) + "/" + std::to_string(size) + "\r\n"
                              : "HTTP/1.1 200 OK\r\n";
  head += "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
  size_t turn = served_[path]++;
  if (turn < p.cuts.size()) body.resize(std::min(body.size(), p.cuts[turn]));
  send_all(connection, head + body);
}
