"""Stands in for systemd: a unix datagram socket at argv[1] (a path, or @NAME). Prints each message as a line of JSON
with the process that sent it, as the kernel says (which is how systemd knows its own service from others)."""

import json
import socket
import struct
import sys

address = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("\0" + address[1:] if address.startswith("@") else address)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
print(json.dumps({"listening": address}), flush=True)
while True:
    data, ancillary, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(12))
    pid, _, _ = struct.unpack("3i", ancillary[0][2])
    print(json.dumps({"text": data.decode(), "pid": pid}), flush=True)
