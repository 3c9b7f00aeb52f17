/* ctl/command.h - the commands of `shutport`, one function each. `o` has the right number of words and only options that the
 * command takes; the server is reachable only through `s`. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "ctl/exit_code.h"
#include "ctl/options.h"
#include "ctl/server.h"

enum exit_code command_device_list(const struct server *s, const struct options *o);
enum exit_code command_device_show(const struct server *s, const struct options *o);
enum exit_code command_device_rm(const struct server *s, const struct options *o);
enum exit_code command_curl(const struct server *s, const struct options *o);

#endif
