/* device-agent/relay/conn_code.c - see conn_code.h. */
#include "device-agent/relay/conn_code.h"

enum wire_code conn_code_of_end(enum rt_conn_end end, bool was_ready)
{
    switch (end) {
    case RT_CONN_END_REFUSED:
        return WIRE_CODE_SERVICE_REFUSED;
    case RT_CONN_END_TIMEOUT:
        return WIRE_CODE_SERVICE_TIMEOUT;
    case RT_CONN_END_TLS:
        return was_ready ? WIRE_CODE_SERVICE_RESET : WIRE_CODE_SERVICE_UNTRUSTED;
    case RT_CONN_END_LOCAL:
        return WIRE_CODE_NO_MEMORY;
    case RT_CONN_END_NONE:
    case RT_CONN_END_ORDERLY:
    case RT_CONN_END_PEER_LEFT:
    case RT_CONN_END_RESET:
        break;
    }
    return WIRE_CODE_SERVICE_RESET; /* before it was ready: inside the TLS handshake */
}

enum wire_code conn_code_of_err(enum rt_err err)
{
    switch (err) {
    case RT_OK:
        return WIRE_CODE_NONE;
    case RT_E_NO_MEMORY:
    case RT_E_CRYPTO:
        return WIRE_CODE_NO_MEMORY;
    case RT_E_TRUST:
        return WIRE_CODE_SERVICE_UNTRUSTED;
    case RT_E_FULL:
    case RT_E_IO: /* out of descriptors, most likely */
    case RT_E_DOWN:
    case RT_E_NOT_FOUND:
    case RT_E_VALUE:
        break;
    }
    return WIRE_CODE_TOO_MANY;
}
