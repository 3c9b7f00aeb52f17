# shutport_target(NAME): the flags that every own target is built with (docs/architecture.md, tests/lint).
add_library(shutport_flags INTERFACE)
target_include_directories(shutport_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(shutport_flags INTERFACE _GNU_SOURCE SHUTPORT_VERSION="${PROJECT_VERSION}")
target_compile_options(shutport_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wundef -Wvla -Wstrict-prototypes
    -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings -Wswitch-enum -Wimplicit-fallthrough
    -Wnull-dereference
    -fstack-protector-strong -fno-strict-aliasing)
# Firmware counts bytes: what nobody calls can be left out at link time; the smallest build has no unwind tables
# (gdb reads core files by the debug information, which is kept apart).
target_compile_options(shutport_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-ffunction-sections> $<$<NOT:$<CONFIG:Debug>>:-fdata-sections>
    $<$<CONFIG:MinSizeRel>:-fno-asynchronous-unwind-tables>)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(shutport_flags INTERFACE
        -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Walloc-zero -Wformat-truncation=2
        -ftrivial-auto-var-init=zero)
else()
    target_compile_options(shutport_flags INTERFACE
        -Wcomma -Wassign-enum -Wunreachable-code-aggressive -Wconditional-uninitialized -Wthread-safety
        -ftrivial-auto-var-init=pattern)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|aarch64")
    target_compile_options(shutport_flags INTERFACE -fstack-clash-protection)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
    target_compile_options(shutport_flags INTERFACE -fcf-protection=full)
endif()
if(SHUTPORT_WERROR)
    target_compile_options(shutport_flags INTERFACE -Werror)
endif()
if(SHUTPORT_SANITIZE)
    target_compile_options(shutport_flags INTERFACE
        -fsanitize=${SHUTPORT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(shutport_flags INTERFACE -fsanitize=${SHUTPORT_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_definitions(shutport_flags INTERFACE _FORTIFY_SOURCE=3)
endif()
target_link_options(shutport_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

function(shutport_target name)
    target_link_libraries(${name} PRIVATE shutport_flags)
    get_target_property(kind ${name} TYPE)
    if(kind STREQUAL "EXECUTABLE")
        target_link_options(${name} PRIVATE -pie)
    endif()
endfunction()

# shutport_test(NAME SOURCES... [LIBS...]): one cmocka program, run by ctest under the label of its folder.
function(shutport_test name)
    cmake_parse_arguments(T "" "LABEL" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${T_SOURCES})
    shutport_target(${name})
    target_link_libraries(${name} PRIVATE ${T_LIBS} shutport::cmocka)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${T_LABEL}" TIMEOUT 120)
endfunction()
