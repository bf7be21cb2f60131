// One datagram to the unix socket of a service manager: what systemd's sd_notify(3) sends. It is here because
// Node has no unix datagram sockets, and because the message must come from this process: systemd drops what
// it cannot trace to the service, and a `systemd-notify` that has already exited is such a case.
#pragma once

#include <string>

namespace tendon {

// Sends now or not at all; why not, or empty when it was sent. `address` is $NOTIFY_SOCKET: a path, or @NAME
// for Linux's abstract namespace.
std::string notify_manager(const std::string& address, const std::string& text);

}  // namespace tendon
