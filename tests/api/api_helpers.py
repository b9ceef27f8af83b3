"""What several files of this folder need."""


def receive_exactly(sock, size):
    """Exactly `size` bytes from a stream; AssertionError if it ends early."""
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise AssertionError(f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)
