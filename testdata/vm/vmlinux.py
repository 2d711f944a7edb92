"""Takes the uncompressed kernel out of a bzImage: vmlinux.py BZIMAGE VMLINUX

QEMU boots it directly (PVH), which spares the emulated machine the decompression.
The header is described in the kernel's Documentation/arch/x86/boot.rst: setup_sects
at 0x1f1, payload_offset and payload_length at 0x248.
"""

import struct
import subprocess
import sys

image = open(sys.argv[1], "rb").read()
setup_sectors = image[0x1F1] or 4
offset, length = struct.unpack_from("<II", image, 0x248)
start = (setup_sectors + 1) * 512 + offset
payload = image[start : start + length]
if payload.startswith(b"\xfd7zXZ"):
    command = ["xz", "-dc", "--single-stream"]
elif payload.startswith(b"\x28\xb5\x2f\xfd"):
    command = ["zstd", "-dc"]
else:
    command = ["gzip", "-dc"]
elf = subprocess.run(command, input=payload, stdout=subprocess.PIPE).stdout
if not elf.startswith(b"\x7fELF"):
    sys.exit("vmlinux.py: no ELF image in " + sys.argv[1])
open(sys.argv[2], "wb").write(elf)
