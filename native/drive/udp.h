// Commands as datagrams, for drives that speak UDP. Little-endian, no padding:
//
//   0  4 bytes  "TND1"
//   4  u16      n, the number of joints
//   6  u16      1 following a chunk, 2 holding
//   8  u64      sequence, from 1, one more with every command
//  16  i64      stamp, ns since 1970 by this machine's clock: when the command is in force
//  24  i64      expiry, ns since 1970: not to be acted on after this. A drive whose clock is its own takes
//               expiry − stamp from the arrival on
//  32  n × f64  joint positions, in the unit of the robot file
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tendon {

class UdpSender {
 public:
  // `host` is an address in numbers (v4 or v6). Throws BuildError config_invalid or bridge_unreachable.
  UdpSender(const std::string& host, int port, int joints);
  ~UdpSender();
  UdpSender(const UdpSender&) = delete;
  UdpSender& operator=(const UdpSender&) = delete;

  // Writes the datagram that `send` sends.
  void write(uint16_t phase, uint64_t sequence, int64_t stamp_ns, int64_t expires_ns, const double* values);
  // Sends it now or not at all; false when the system did not take it.
  bool send();

 private:
  int socket_ = -1;
  std::vector<uint8_t> datagram_;
};

}  // namespace tendon
