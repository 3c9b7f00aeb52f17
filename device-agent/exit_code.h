/* device-agent/exit_code.h - how the programs of this room end (docs/device.md). */
#ifndef AGENT_EXIT_CODE_H
#define AGENT_EXIT_CODE_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILURE = 1,        /* something went wrong while running */
    EXIT_CODE_USAGE = 2,          /* the command line */
    EXIT_CODE_UNAVAILABLE = 69,   /* the server cannot be reached, or its answer is of no use */
    EXIT_CODE_NO_PERMISSION = 77, /* wrong password, not allowed, not registered */
    EXIT_CODE_CONFIG = 78         /* the configuration file */
};

#endif
