#include "addon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace tendon {

std::string notify_manager(const std::string& address, const std::string& text) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (address.size() < 2 || (address[0] != '/' && address[0] != '@') || address.size() >= sizeof to.sun_path)
    return "expected a path or @NAME of fewer than " + std::to_string(sizeof to.sun_path) + " bytes, got \"" +
           address + "\"";
  std::memcpy(to.sun_path, address.data(), address.size());
  if (address[0] == '@') to.sun_path[0] = '\0';
  // The length of an abstract name is that of the address; a path ends with its zero.
  const size_t length = offsetof(sockaddr_un, sun_path) + address.size() + (address[0] == '/' ? 1 : 0);

  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent =
      socket >= 0 && ::sendto(socket, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&to), static_cast<socklen_t>(length)) >= 0;
  const int why = errno;
  if (socket >= 0) close(socket);
  return sent ? "" : address + ": " + std::strerror(why);
}

}  // namespace tendon
