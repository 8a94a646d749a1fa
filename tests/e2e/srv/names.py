# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""A name server for a test: answers SRV, TXT and A questions over UDP from a table that may change (RFC 1035, RFC 2782)."""
import socket, struct, threading

TYPES = {"A": 1, "TXT": 16, "SRV": 33}
NAMED = {number: name for name, number in TYPES.items()}


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def data(kind, value):
    if kind == "A": return socket.inet_aton(value)
    if kind == "TXT": return bytes([len(value)]) + value.encode()
    port, host = value
    return struct.pack(">HHH", 0, 0, port) + labels(host)


class NameServer:
    """`records` maps (type, name) to a list of values; every other name does not exist."""

    def __init__(self, records, address=("127.0.0.1", 53)):
        self.records = records
        self.asked = []  # (type, name), in order.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            try:
                self.socket.sendto(self.answer(question), client)
            except (IndexError, struct.error, UnicodeDecodeError):
                pass  # No question of a resolver.

    def answer(self, question):
        parts, at = [], 12
        while question[at]:
            parts.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name, kind = ".".join(parts).lower(), NAMED.get(struct.unpack_from(">H", question, at + 1)[0], "other")
        self.asked.append((kind, name))
        found = self.records.get((kind, name), [])
        known = any(there == name for _, there in list(self.records))  # To which the main thread may add.
        head = question[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(found), 0, 0)
        answers = b""
        for value in found:
            rdata = data(kind, value)
            answers += b"\xc0\x0c" + struct.pack(">HHIH", TYPES[kind], 1, 0, len(rdata)) + rdata
        return head + question[12:at + 5] + answers
