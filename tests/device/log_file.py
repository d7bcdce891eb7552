"""The log's batches on disk, as far as their headers tell (paxos/log_format.h)."""
import glob
import struct

BLOCK = 4096
MAGIC = 0x424e5953
HEADER = struct.Struct('<QIHHIIQQQ')  # checksum magic version flags bytes count lsn generation ordinal


def batches(directory):
    """(ordinal, file, offset) of what looks like a batch with records, in the log's order."""
    found = []
    for path in glob.glob(f'{directory}/segment-*'):
        with open(path, 'rb') as file:
            data = file.read()
        for at in range(BLOCK, len(data), BLOCK):
            _, magic, _, _, size, _, _, _, ordinal = HEADER.unpack_from(data, at)
            if magic == MAGIC and size > 0:
                found.append((ordinal, path, at))
    return sorted(found)
