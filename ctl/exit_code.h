/* ctl/exit_code.h - how `shutport` ends (docs/man/shutport.1.scd). */
#ifndef CTL_EXIT_CODE_H
#define CTL_EXIT_CODE_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILURE =
        1, /* something went wrong while running, or the server refused for another reason */
    EXIT_CODE_USAGE = 2,     /* the command line */
    EXIT_CODE_NOT_FOUND = 3, /* no such device or service, or not for this token */
    EXIT_CODE_OFFLINE = 4,   /* the device is offline */
    EXIT_CODE_DENIED = 5,    /* the token is not good (for that) */
    EXIT_CODE_TIMEOUT = 6,
    EXIT_CODE_UNAVAILABLE = 69, /* the server cannot be reached or trusted, or is not fully up */
    EXIT_CODE_CONFIG = 78       /* URL, CA file or token are missing or unusable */
};

#endif
