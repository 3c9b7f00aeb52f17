/* device-agent/screens/screens_sign_in.h - the administrator's password: asked for on a network, set at the panel. Hashing is slow on
 * purpose and goes to a pool thread, one at a time: it takes 32 MiB. */
#ifndef AGENT_SCREENS_SIGN_IN_H
#define AGENT_SCREENS_SIGN_IN_H

struct screens;
struct screens_call;

void screens_sign_in_show(struct screens_call *call);
void screens_sign_in_take(struct screens_call *call);
void screens_sign_out_take(struct screens_call *call);
void screens_password_show(struct screens_call *call);
void screens_password_take(struct screens_call *call);
/* The screens end: what is being hashed is for nobody. */
void screens_job_forget(struct screens *screens);

#endif
