# Toolchain file: the agent for 32-bit little-endian MIPS, by Debian's cross compiler and Debian's mipsel libraries.
# cmake --toolchain cmake/mipsel.cmake -DCMAKE_SYSROOT=FOLDER ...; tests/cross/sysroot makes the folder.
set(CMAKE_SYSTEM_PROCESSOR mipsel)
set(SHUTPORT_TRIPLET mipsel-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
