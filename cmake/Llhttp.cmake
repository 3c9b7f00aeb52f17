# shutport::llhttp. Debian 13 has a library; Debian 12 has only the C sources, in package node-llhttp, which are
# compiled here with STRICT_MODE (off by default, and then laxer than RFC 9112) and without the project's warnings.
pkg_check_modules(SHUTPORT_llhttp QUIET IMPORTED_TARGET libllhttp)
if(SHUTPORT_llhttp_FOUND)
    add_library(shutport::llhttp ALIAS PkgConfig::SHUTPORT_llhttp)
else()
    find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
    find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp NO_CMAKE_FIND_ROOT_PATH)
    if(NOT LLHTTP_SOURCE_DIR OR NOT LLHTTP_INCLUDE_DIR)
        message(FATAL_ERROR "llhttp is missing: install libllhttp-dev (Debian 13) or node-llhttp (Debian 12)")
    endif()
    add_library(shutport_llhttp STATIC
        ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c ${LLHTTP_SOURCE_DIR}/llhttp.c)
    target_include_directories(shutport_llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
    target_compile_definitions(shutport_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
    target_compile_options(shutport_llhttp PRIVATE $<IF:$<CONFIG:MinSizeRel>,-fno-asynchronous-unwind-tables,-O2> -w -fstack-protector-strong)
    add_library(shutport::llhttp ALIAS shutport_llhttp)
endif()
