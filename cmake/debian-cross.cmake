# What the toolchain files of this folder share: compile for SHUTPORT_TRIPLET against a folder of Debian's libraries
# (CMAKE_SYSROOT), and let nothing of the build machine's own libraries in. Programs (pkg-config, python3) are the build
# machine's, and so are sources that come as a package of no architecture (llhttp).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${SHUTPORT_TRIPLET}-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE ${SHUTPORT_TRIPLET})

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/${SHUTPORT_TRIPLET}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
