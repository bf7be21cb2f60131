#include "drive/udp.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tendon {

namespace {

constexpr size_t header_bytes = 32;

// Byte by byte, whatever the order of this machine.
template <class Word>
void put(uint8_t* to, Word word) {
  const auto bits = static_cast<uint64_t>(word);
  for (size_t i = 0; i < sizeof word; ++i) to[i] = static_cast<uint8_t>(bits >> (8 * i));
}

}  // namespace

UdpSender::UdpSender(const std::string& host, int port, int joints)
    : datagram_(header_bytes + 8 * static_cast<size_t>(joints)) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_DGRAM;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0)
    throw BuildError("config_invalid",
                     "udp: expected an address in numbers such as 192.168.1.10, got \"" + host + "\"");
  socket_ = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool connected = socket_ >= 0 && connect(socket_, found->ai_addr, found->ai_addrlen) == 0;
  const int why = errno;
  freeaddrinfo(found);
  if (!connected) {
    if (socket_ >= 0) close(socket_);
    throw BuildError("bridge_unreachable",
                     format("udp: no way to %s port %d: %s", host.c_str(), port, std::strerror(why)));
  }
  // What the system cannot send at once, while it looks for the drive's address say, it keeps: no more than a
  // few commands, or they would all arrive late.
  const int room = 4 * static_cast<int>(datagram_.size() + 1024);
  setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  std::memcpy(datagram_.data(), "TND1", 4);
  put(datagram_.data() + 4, static_cast<uint16_t>(joints));
}

UdpSender::~UdpSender() { close(socket_); }

void UdpSender::write(uint16_t phase, uint64_t sequence, int64_t stamp_ns, int64_t expires_ns,
                      const double* values) {
  uint8_t* at = datagram_.data();
  put(at + 6, phase);
  put(at + 8, sequence);
  put(at + 16, stamp_ns);
  put(at + 24, expires_ns);
  for (at += header_bytes; at < datagram_.data() + datagram_.size(); at += 8)
    put(at, std::bit_cast<uint64_t>(*values++));
}

bool UdpSender::send() {
  return ::send(socket_, datagram_.data(), datagram_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(datagram_.size());
}

}  // namespace tendon
