/* wire/error.c - short texts for errors and codes, for logs and tests. */
#include "wire/error.h"
#include "wire/session.h"

const char *wire_err_text(enum wire_err err)
{
    switch (err) {
    case WIRE_OK:
        return "ok";
    case WIRE_E_SHORT:
        return "too short";
    case WIRE_E_VERSION:
        return "unknown version";
    case WIRE_E_TYPE:
        return "unknown frame type";
    case WIRE_E_VALUE:
        return "forbidden value";
    case WIRE_E_TOO_BIG:
        return "too big";
    case WIRE_E_ORDER:
        return "not in this state";
    case WIRE_E_CREDIT:
        return "over its credit";
    case WIRE_E_NO_MEMORY:
        return "no memory";
    }
    return "unknown error";
}

const char *wire_code_text(enum wire_code code)
{
    switch (code) {
    case WIRE_CODE_NONE:
        return "none";
    case WIRE_CODE_CANCELLED:
        return "cancelled";
    case WIRE_CODE_NO_SUCH_SERVICE:
        return "no such service";
    case WIRE_CODE_SERVICE_REFUSED:
        return "service refused the connection";
    case WIRE_CODE_SERVICE_TIMEOUT:
        return "service did not answer in time";
    case WIRE_CODE_SERVICE_UNTRUSTED:
        return "service is not trusted";
    case WIRE_CODE_SERVICE_RESET:
        return "service broke the connection off";
    case WIRE_CODE_TOO_LATE:
        return "too late to begin";
    case WIRE_CODE_TOO_MANY:
        return "too many streams";
    case WIRE_CODE_NOT_ALLOWED:
        return "not allowed by the device";
    case WIRE_CODE_OUTCOME_UNKNOWN:
        return "outcome unknown";
    case WIRE_CODE_PROTOCOL:
        return "protocol violation";
    case WIRE_CODE_PEER_RESTARTED:
        return "peer restarted";
    case WIRE_CODE_GRACE_OVER:
        return "link stayed away too long";
    case WIRE_CODE_REVOKED:
        return "device revoked";
    case WIRE_CODE_STOPPING:
        return "stopping";
    case WIRE_CODE_NO_MEMORY:
        return "no memory";
    case WIRE_CODE_NO_ANSWER:
        return "no answer";
    case WIRE_CODE_VERSION:
        return "no common version";
    }
    return "unknown code";
}
