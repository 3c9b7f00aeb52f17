# Third-party libraries, as imported targets shutport::NAME. An agent-only build asks for no server library.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
function(shutport_library name module)
    pkg_check_modules(SHUTPORT_${name} REQUIRED IMPORTED_TARGET ${module})
    add_library(shutport::${name} ALIAS PkgConfig::SHUTPORT_${name})
endfunction()

shutport_library(uv libuv)
shutport_library(openssl openssl)
shutport_library(cjson libcjson)
shutport_library(confuse libconfuse)
shutport_library(microhttpd libmicrohttpd)
if(SHUTPORT_BRIDGE OR SHUTPORT_BROKER_PLUGIN)
    shutport_library(sqlite sqlite3)
endif()
if(SHUTPORT_AGENT OR SHUTPORT_CTL)
    shutport_library(curl libcurl)
endif()
if(SHUTPORT_TESTS)
    shutport_library(cmocka cmocka)
endif()
include(Llhttp) # shutport::llhttp
include(Paho)   # shutport::paho, SHUTPORT_PAHO_TUNED
