/* bridge/portal_handlers.h - the handlers that the route table of bridge/portal.c names. Each owns its call. */
#ifndef BRIDGE_PORTAL_HANDLERS_H
#define BRIDGE_PORTAL_HANDLERS_H

struct portal_call;
typedef void portal_handler(struct portal_call *call);

/* pages_sign_in.c */
portal_handler page_get_sign_in, page_post_sign_in, page_post_sign_out;
/* pages_devices.c */
portal_handler page_get_home, page_get_devices, page_get_device, page_post_deregister;
/* pages_handoff.c: the portal's part, then the device origin's */
portal_handler page_get_connect, page_post_connect, page_get_open;
portal_handler page_get_start, page_post_session, page_post_device_sign_out;
/* api_devices.c, api_registrations.c */
portal_handler api_get_devices, api_get_device, api_delete_device, api_post_registration;

#endif
