# shutport::paho: Debian's Paho MQTT C with TLS, asynchronous.
find_path(PAHO_INCLUDE_DIR MQTTAsync.h REQUIRED)
find_library(PAHO_SHARED_LIBRARY paho-mqtt3as REQUIRED)
add_library(shutport::paho SHARED IMPORTED GLOBAL)
set_target_properties(shutport::paho PROPERTIES
    IMPORTED_LOCATION ${PAHO_SHARED_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${PAHO_INCLUDE_DIR})
