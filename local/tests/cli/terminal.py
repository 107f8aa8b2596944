"""Runs a command on a terminal of its own, and says what it wrote there.

    terminal.py ROWS COLUMNS WORDS COMMAND…

What the command writes goes to standard output as it is. Once WORDS are in it, Ctrl-C is typed (never, if WORDS is empty).
"""

import fcntl
import os
import pty
import struct
import sys
import termios

rows, columns, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
child, terminal = pty.fork()
if child == 0:
    # The size has to be there before the command asks for it.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execv(sys.argv[4], sys.argv[4:])
seen = b""
while True:
    try:
        some = os.read(terminal, 65536)
    except OSError:
        # The other side has gone.
        some = b""
    if not some:
        break
    os.write(1, some)
    seen += some
    if words and words in seen:
        os.write(terminal, b"\x03")
        words = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
