# Toolchain file: the agent for 32-bit ARM with hard float, by Debian's cross compiler and Debian's armhf libraries.
# cmake --toolchain cmake/armhf.cmake -DCMAKE_SYSROOT=FOLDER ...; tests/cross/sysroot makes the folder.
set(CMAKE_SYSTEM_PROCESSOR arm)
set(SHUTPORT_TRIPLET arm-linux-gnueabihf)
include(${CMAKE_CURRENT_LIST_DIR}/debian-cross.cmake)
